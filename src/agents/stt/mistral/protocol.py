"""Mistral's realtime wire, without a socket: the address and its messages.

One connection is one utterance: `session.created`, then audio as base64 in `input_audio.append`, all along
`transcription.text.delta`, and after `input_audio.end` one `transcription.done` with the whole text. A connection takes
no audio after that; `input_audio.flush` alone ought to give a `done` and keep it open, but has been seen to do so only
once in a connection (docs/adr/0008). This wire tells no times, and it is not told a language: it detects it.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from agents.runtime.errors import OptionsError
from agents.stt.mistral.models import BASE_URL, DEFAULT_MODEL, PATH, STREAMING
from agents.stt.wire import WEBSOCKET_SCHEMES, message_of, require_websocket_address, without_region


@dataclass(frozen=True, kw_only=True)
class MistralOptions:
    """Where the engine is and what it is asked for. Raises OptionsError."""

    base_url: str = BASE_URL
    """http, https, ws or wss, with or without the version."""
    model: str = DEFAULT_MODEL
    api_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        require_websocket_address(self.base_url)
        if STREAMING not in self.model:
            raise OptionsError("the model does not stream")

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def realtime_url(options: MistralOptions) -> str:
    """The address of an utterance."""
    parts = urlsplit(options.base_url)
    path = parts.path.rstrip("/").removesuffix("/v1") + PATH
    query = urlencode({"model": options.model})
    return urlunsplit((WEBSOCKET_SCHEMES[parts.scheme], parts.netloc, path, query, ""))


def language_of(tag: str) -> str:
    """A language as Mistral names it: `pt_BR` becomes `pt`. Empty for what names none."""
    return without_region(tag)


def append_line(pcm: bytes) -> str:
    """PCM16, mono, 16 kHz: what a session takes unless told otherwise."""
    audio = base64.b64encode(pcm).decode("ascii")
    return json.dumps({"type": "input_audio.append", "audio": audio}, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Created:
    """Audio may come."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """Text to append; never taken back."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Language:
    """As detected."""

    language: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The whole utterance."""

    text: str
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The engine's `error`; `code` is an HTTP status or one of their own numbers."""

    code: int


@dataclass(frozen=True, kw_only=True)
class Aside:
    """An event that needs no answer."""


Heard = Created | Delta | Language | Done | Failed | Aside


def parse(line: str) -> Heard | None:
    """None for what is not Mistral's."""
    if (event := message_of(line)) is None:
        return None
    text = event.get("text")
    match event["type"]:
        case "session.created":
            return Created()
        case "transcription.text.delta":
            return Delta(text=text) if isinstance(text, str) else None
        case "transcription.language":
            return Language(language=_language(event.get("audio_language")))
        case "transcription.done":
            return (
                Done(text=text, language=_language(event.get("language"))) if isinstance(text, str) else None
            )
        case "error":
            return Failed(code=_code(event.get("error")))
    return Aside()


def _language(tag: Any) -> str:
    return language_of(tag) if isinstance(tag, str) else ""


def _code(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else 500
