"""The events of `/v1/realtime`, as vLLM speaks them: text in, frozen values out, and back. No I/O."""

import base64
import binascii
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speech.errors import Refusal, RequestRefused
from speech.limits import MAX_FRAME_BYTES


@dataclass(frozen=True, kw_only=True)
class SessionUpdate:
    model: str


@dataclass(frozen=True, kw_only=True)
class Append:
    """PCM16, 16 kHz, mono; whole samples."""

    pcm: bytes


@dataclass(frozen=True, kw_only=True)
class Commit:
    final: bool


ClientEvent = SessionUpdate | Append | Commit


def parse(text: str) -> ClientEvent:
    """Raises RequestRefused with the code the wire knows."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise RequestRefused(Refusal("invalid_json", "The message is not JSON.")) from None
    if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
        raise RequestRefused(Refusal("invalid_event", "The message is not an object with a type."))
    parser = _PARSERS.get(kind)
    if parser is None:
        raise RequestRefused(Refusal("unknown_event", "No event has this type."))
    return parser(event)


def _session_update(event: dict[str, Any]) -> SessionUpdate:
    if not isinstance(model := event.get("model"), str) or not model:
        raise RequestRefused(Refusal("invalid_event", "session.update needs a model."))
    return SessionUpdate(model=model)


def _append(event: dict[str, Any]) -> Append:
    if not isinstance(audio := event.get("audio"), str):
        raise RequestRefused(Refusal("invalid_audio", "input_audio_buffer.append needs audio in base64."))
    try:
        pcm = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise RequestRefused(Refusal("invalid_audio", "The audio is not base64.")) from None
    if not pcm or len(pcm) % 2:
        raise RequestRefused(Refusal("invalid_audio", "The audio is empty or not whole 16-bit samples."))
    if len(pcm) > MAX_FRAME_BYTES:
        raise RequestRefused(Refusal("invalid_audio", "The audio of one event is too long."))
    return Append(pcm=pcm)


def _commit(event: dict[str, Any]) -> Commit:
    final = event.get("final", False)
    if not isinstance(final, bool):
        raise RequestRefused(Refusal("invalid_event", "final is true or false."))
    return Commit(final=final)


_PARSERS: dict[str, Callable[[dict[str, Any]], ClientEvent]] = {
    "session.update": _session_update,
    "input_audio_buffer.append": _append,
    "input_audio_buffer.commit": _commit,
}


def session_created(session: str) -> str:
    return json.dumps({"type": "session.created", "id": session, "created": int(time.time())})


def transcription_delta(delta: str) -> str:
    return json.dumps({"type": "transcription.delta", "delta": delta})


def transcription_done(text: str) -> str:
    return json.dumps({"type": "transcription.done", "text": text, "usage": None})


def error(refusal: Refusal) -> str:
    return json.dumps({"type": "error", "error": refusal.text, "code": refusal.code})
