"""A signed token's two JSON objects, read so that no other reader can understand them differently."""

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any

MAX_TOKEN_CHARS = 8 * 1024
MAX_DEPTH = 32

# \Z and not $, which lets a newline at the end through. Padding is not part of the compact form.
COMPACT_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")

JsonObject = Mapping[str, Any]


class NotAToken(ValueError):
    """The text is not three segments of strict JSON; deliberately without the reason or the text."""


def parse(token: str) -> tuple[JsonObject, JsonObject]:
    """The header and the payload, not yet verified.

    Stricter than the JSON readers behind it: UTF-8 alone, no key twice, no NaN or Infinity, no number that
    overflows, no lone surrogate, no deep nesting. Raises NotAToken.
    """
    if len(token) > MAX_TOKEN_CHARS or (segments := COMPACT_FORM.match(token)) is None:
        raise NotAToken
    return _object(segments[1]), _object(segments[2])


def _object(segment: str) -> JsonObject:
    try:
        text = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_without_repetition, parse_constant=_refused, parse_float=_finite
        )
        # An escaped lone surrogate is a valid Python string that nothing can write down.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    # RecursionError: 8 KiB hold more brackets than Python's stack.
    except (ValueError, RecursionError):
        raise NotAToken from None
    if not isinstance(value, dict) or not _is_shallow(value, MAX_DEPTH):
        raise NotAToken
    return value


def _is_shallow(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_shallow(child, depth - 1) for child in children)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotAToken
    return fields


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise NotAToken
    return number


def _refused(_constant: str) -> None:
    raise NotAToken
