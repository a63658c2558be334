"""corpus.json as tokens."""

import base64
import hashlib
import hmac
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXTRA_KEY, EXTRA_SECRET = "extrakey", "extra-secret-" + "y" * 32
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "corpus.json").read_text())["cases"]
GOOD = {"name": "good"}


@dataclass(frozen=True, kw_only=True)
class Forge:
    """Makes the corpus's tokens for one room and one deployment."""

    room: str
    identity: str
    now_s: float
    key: str
    secret: str = field(repr=False)

    @property
    def keys(self) -> dict[str, str]:
        """What the deployment accepts; `keyless` is a setting gone wrong."""
        return {self.key: self.secret, EXTRA_KEY: EXTRA_SECRET, "keyless": ""}

    def base_claims(self) -> dict[str, Any]:
        now = int(self.now_s)
        video = {"room": self.room, "roomJoin": True, "canPublish": True}
        return {"iss": self.key, "sub": self.identity, "nbf": now - 5, "exp": now + 3600, "video": video}

    def token(self, case: dict[str, Any]) -> str:
        header_text, payload_text = self._header_text(case), self._payload_text(case)
        encoding = case.get("encoding", "utf-8")
        segments = [
            base64url(header_text.encode(encoding if "header_text" in case else "utf-8")),
            base64url(payload_text.encode(encoding if "payload" in case else "utf-8")),
        ]
        signature = base64url(self._signature(case.get("signed", "ours"), ".".join(segments).encode()))
        token = ".".join([*segments, signature])
        if "token" not in case:
            return token
        parts = {"token": token, "header": segments[0], "payload": segments[1], "signature": signature}
        return fill(self._value(case["token"]), parts)

    def authorization(self, case: dict[str, Any]) -> list[str]:
        """The values of the Authorization headers."""
        token = self.token(case)
        templates: list[Any] = case.get("authorization", ["Bearer {token}"])
        return [fill(self._value(template), {"token": token}) for template in templates]

    def claims(self, case: dict[str, Any]) -> dict[str, Any]:
        claims = self.base_claims()
        for path in case.get("remove", ()):
            *parents, name = path.split(".")
            del at(claims, parents)[name]
        for path, value in case.get("set", {}).items():
            *parents, name = path.split(".")
            at(claims, parents)[name] = self._value(value)
        return claims

    def _payload_text(self, case: dict[str, Any]) -> str:
        if isinstance(case.get("payload"), Raw):
            return str(case["payload"])
        text = dumps(self.claims(case))
        return fill(self._text(case["payload"]), {"claims": text[1:-1]}) if "payload" in case else text

    def _header_text(self, case: dict[str, Any]) -> str:
        if "header_text" in case:
            return str(case["header_text"])
        header = {"alg": "HS256", "typ": "JWT", **case.get("header", {})}
        return dumps({name: value for name, value in header.items() if value is not None})

    def _signature(self, how: str, signed: bytes) -> bytes:
        if how == "none":
            return b""
        if how == "RS256":
            return hashlib.shake_256(signed).digest(
                256
            )  # the length is right, and there is no key to check it
        secret = {"extra key": EXTRA_SECRET, "wrong": "x" * 40, "empty key": ""}.get(how, self.secret)
        return hmac.new(secret.encode(), signed, "sha512" if how == "HS512" else "sha256").digest()

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case {"$now": offset, **rest} if not rest:
                return self.now_s // 1 + offset if isinstance(offset, float) else int(self.now_s) + offset
            case {"$repeat": [text, count]}:
                return text * count
            case {"$text": parts}:
                return "".join(self._value(part) for part in parts)
            case {"$nest": depth}:
                return Raw("[" * depth + "]" * depth)
            case {"$digits": count}:
                return Raw("-" * (count < 0) + "9" * abs(count))
            case dict():
                return {name: self._value(inner) for name, inner in value.items()}
            case list():
                return [self._value(inner) for inner in value]
        return value

    def _text(self, text: str) -> str:
        parts = {
            "room": self.room,
            "ROOM": self.room.upper(),
            "room_nfd": unicodedata.normalize("NFD", self.room),
            "room_undashed": self.room.replace("-", ""),
            "room_quoted": urllib.parse.quote(self.room),
            "identity": self.identity,
            "key": self.key,
        }
        text = re.sub(r"\{now([+-]\d+)\}", lambda m: str(int(self.now_s) + int(m[1])), text)
        return fill(text, parts)


class Raw(str):
    """JSON that Python's writer cannot or will not write."""


def dumps(value: Any) -> str:
    match value:
        case Raw():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)}: {dumps(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def fill(text: str, parts: dict[str, str]) -> str:
    """`{name}` replaced; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda m: parts.get(m[1], m[0]), text)


def at(claims: dict[str, Any], parents: Iterable[str]) -> dict[str, Any]:
    for name in parents:
        claims = claims[name]
    return claims


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
