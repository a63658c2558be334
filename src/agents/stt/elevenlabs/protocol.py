"""ElevenLabs' realtime wire, without a socket: the address, its messages, and which commit has been answered.

JSON text messages. Audio goes as base64; a `commit` ends a segment and is answered by a `committed_transcript`, also an
empty one. `partial_transcript` has all words of the segment so far. With language detection a second copy of each
commit follows (`committed_transcript_with_timestamps`), and it alone names the language. No times are taken from this
wire: a segment lies between its first audio and its commit.
"""

import base64
import json
import re
from collections import deque
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit, urlunsplit

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import OptionsError
from agents.stt.elevenlabs.models import (
    BASE_URL,
    BATCH_MODELS,
    DEFAULT_MODEL,
    KEY_HEADER,
    MAX_KEYTERM_CHARS,
    MAX_KEYTERMS,
    PATH,
    STATUS_OF_ERROR,
)
from agents.stt.wire import WEBSOCKET_SCHEMES, message_of, require_websocket_address, without_region

BYTES_PER_S = SAMPLE_RATE_HZ * 2
LEAST_COMMIT_BYTES = BYTES_PER_S * 3 // 10
"""Scribe ends the connection over a commit of less audio; silence makes up for what is missing."""
KEYTERM = re.compile(r"[^<>{}\[\]\\]+")
"""What else a keyterm may not hold."""


@dataclass(frozen=True, kw_only=True)
class ElevenLabsOptions:
    """Where the engine is and what it is asked for. Raises OptionsError."""

    base_url: str = BASE_URL
    """http, https, ws or wss, up to and with the version."""
    model: str = DEFAULT_MODEL
    api_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        require_websocket_address(self.base_url)
        if not self.model or self.model in BATCH_MODELS:
            raise OptionsError("the model does not stream")

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {KEY_HEADER: self.api_key} if self.api_key else {}


def realtime_url(options: ElevenLabsOptions, *, language: str, keyterms: tuple[str, ...]) -> str:
    """The address of a stream; without a language it is asked to say which it hears."""
    asked = [
        ("model_id", options.model),
        ("audio_format", f"pcm_{SAMPLE_RATE_HZ}"),
        ("commit_strategy", "manual"),
        ("language_code", language) if language else ("include_language_detection", "true"),
        *(("keyterms", term) for term in keyterms),
    ]
    parts = urlsplit(options.base_url)
    path = parts.path.rstrip("/") + PATH
    return urlunsplit((WEBSOCKET_SCHEMES[parts.scheme], parts.netloc, path, urlencode(asked), ""))


def language_of(tag: str) -> str:
    """A language as ElevenLabs writes it: `pt_BR` becomes `pt`; a region connects and is never transcribed.

    Empty for what names no language: then it is detected.
    """
    return without_region(tag)


def keyterms_of(vocabulary: tuple[str, ...]) -> tuple[str, ...]:
    """The terms that the wire takes, in their order."""
    fitting = (term for term in vocabulary if len(term) <= MAX_KEYTERM_CHARS and KEYTERM.fullmatch(term))
    return tuple(fitting)[:MAX_KEYTERMS]


def audio_line(pcm: bytes, *, commit: bool = False) -> str:
    """PCM16, mono, 16 kHz."""
    return json.dumps(
        {
            "message_type": "input_audio_chunk",
            "audio_base_64": base64.b64encode(pcm).decode("ascii"),
            "commit": commit,
            "sample_rate": SAMPLE_RATE_HZ,
        },
        separators=(",", ":"),
    )


@dataclass(frozen=True, kw_only=True)
class Partial:
    """All words of the segment so far."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The words of a segment; `language` as detected, on the copy that tells it."""

    text: str
    language: str = ""
    is_second_copy: bool = False


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The engine is about to end the connection; `status` says the same as its word."""

    status: int


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A message that needs no answer."""


Heard = Partial | Committed | Failed | Aside


def parse(line: str) -> Heard | None:
    """None for what is not ElevenLabs'."""
    if (message := message_of(line, kind="message_type")) is None:
        return None
    kind, text, language = message["message_type"], message.get("text"), message.get("language_code")
    match kind:
        case "partial_transcript":
            return Partial(text=text) if isinstance(text, str) else None
        case "committed_transcript":
            return Committed(text=text) if isinstance(text, str) else None
        case "committed_transcript_with_timestamps":
            detected = language_of(language) if isinstance(language, str) else ""
            return (
                Committed(text=text, language=detected, is_second_copy=True)
                if isinstance(text, str)
                else None
            )
    return Failed(status=STATUS_OF_ERROR[kind]) if kind in STATUS_OF_ERROR else Aside()


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Audio between two commits, in seconds of the stream; `flushes`: how many END_OF_SPEECH its answer is worth."""

    start_s: float
    end_s: float
    flushes: int = 0


class Conversation:
    """What to send, and what the answers are about."""

    def __init__(self) -> None:
        self._begin_bytes = self._sent_bytes = 0
        self._commits: deque[Segment] = deque()

    @property
    def waits(self) -> bool:
        """Whether a commit has not been answered."""
        return bool(self._commits)

    @property
    def current(self) -> Segment:
        """What the next words are about."""
        return self._commits[0] if self._commits else self._open

    @property
    def _open(self) -> Segment:
        return Segment(start_s=self._begin_bytes / BYTES_PER_S, end_s=self._sent_bytes / BYTES_PER_S)

    def audio(self, pcm: bytes) -> str:
        """What to send for it."""
        self._sent_bytes += len(pcm)
        return audio_line(pcm)

    def flush(self) -> str | None:
        """What to send for it; None when there is no audio since the last one."""
        size = self._sent_bytes - self._begin_bytes
        if size:
            self._commits.append(replace(self._open, flushes=1))
            self._begin_bytes = self._sent_bytes
            return audio_line(bytes(max(0, LEAST_COMMIT_BYTES - size)), commit=True)
        if self._commits:  # it is answered with the one before
            last = self._commits.pop()
            self._commits.append(replace(last, flushes=last.flushes + 1))
        return None

    def committed(self) -> Segment:
        """What an answer is about. One that was not asked for confirms nothing: nobody says how far it reaches."""
        if self._commits:
            return self._commits.popleft()
        return replace(self._open, end_s=self._open.start_s)
