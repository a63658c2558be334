"""The `/v1/realtime` wire as vLLM speaks it, without a socket: lines in and out, and whose turn it is.

An utterance: append (audio first) → commit → append … → commit final → deltas all along → done. What is
appended between the final commit and `done` is thrown away by the server, and a commit within a few ms of
`done` is ignored; so the next utterance's audio is held back until the server is ready for it.
"""

import base64
import enum
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

SAMPLE_BYTES = 2
MAX_APPEND_BYTES = 6_400
"""0.2 s: what has piled up goes in fewer messages, while live audio goes frame by frame."""
MAX_DELTA_CHARS = 10_000


@dataclass(frozen=True, kw_only=True)
class Delta:
    """Text to append; never taken back."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The whole utterance."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The server's `error`; `code` is one of its constants."""

    code: str


Heard = Delta | Done | Failed


def parse(line: str) -> Heard | None:
    """None for what needs no answer: other events, and whatever is not an event at all."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    match event.get("type"):
        case "transcription.delta" if isinstance(delta := event.get("delta"), str):
            return Delta(text=delta[:MAX_DELTA_CHARS])
        case "transcription.done" if isinstance(text := event.get("text"), str):
            return Done(text=text)
        case "error":
            code = event.get("code")
            return Failed(code=code if isinstance(code, str) else "unknown")
    return None


def session_update(model: str) -> str:
    """Must come before any commit."""
    return _line("session.update", model=model)


class Turn(enum.Enum):
    """Where the conversation stands."""

    READY = "ready"
    """No generation: the next audio begins one."""
    GENERATING = "generating"
    """The server eats what is appended."""
    ENDING = "ending"
    """The final commit is out, `done` is awaited: the server would throw audio away."""
    RESTING = "resting"
    """`done` has come; the server is not ready for a commit for a moment."""


class Conversation:
    """What to send, and when; the caller says when the rest after `done` is over."""

    def __init__(self) -> None:
        self.turn = Turn.READY
        self.text = ""
        """The utterance's text so far."""
        self.begin_bytes = 0
        """Where in all the audio sent the current utterance began."""
        self.sent_bytes = 0
        self._held: deque[bytes | None] = deque()  # None: the utterance ends here

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to send and nothing to wait for."""
        return not self._held and self.turn in (Turn.READY, Turn.RESTING)

    def audio(self, pcm: bytes) -> list[str]:
        """PCM16, mono, 16 kHz; what to send for it now."""
        if not pcm:
            return []
        self._held.append(pcm)
        return self._send_held()

    def end_utterance(self) -> list[str]:
        """The speaker pauses. Without audio there is nothing to end: a commit before audio is never sent."""
        ends_nothing = self._held[-1] is None if self._held else self.turn is not Turn.GENERATING
        if ends_nothing:
            return []
        self._held.append(None)
        return self._send_held()

    def heard(self, event: Heard) -> None:
        """Keep up with what the server said."""
        if isinstance(event, Delta) and self.turn in (Turn.GENERATING, Turn.ENDING):
            self.text = (self.text + event.text)[:MAX_DELTA_CHARS]
        elif isinstance(event, Done):
            # A server may end an utterance by itself (its length is bounded); then the next audio begins another.
            self.turn = Turn.RESTING

    def rested(self) -> list[str]:
        """The moment after `done` is over."""
        if self.turn is Turn.RESTING:
            self.turn = Turn.READY
        return self._send_held()

    def _send_held(self) -> list[str]:
        lines: list[str] = []
        while self._held and self.turn in (Turn.READY, Turn.GENERATING):
            if self._held[0] is None:
                self._held.popleft()
                if self.turn is Turn.GENERATING:
                    lines.append(_line("input_audio_buffer.commit", final=True))
                    self.turn = Turn.ENDING
                continue
            lines.append(_append(self._next_audio()))
            if self.turn is Turn.READY:
                lines.append(_line("input_audio_buffer.commit", final=False))
                self.turn, self.text = Turn.GENERATING, ""
        return lines

    def _next_audio(self) -> bytes:
        """As much of the utterance's held audio as fits into one message."""
        if self.turn is Turn.READY:
            self.begin_bytes = self.sent_bytes
        pcm = b""
        while self._held and (piece := self._held[0]) is not None:
            if pcm and len(pcm) + len(piece) > MAX_APPEND_BYTES:
                break
            pcm += piece
            self._held.popleft()
        self.sent_bytes += len(pcm)
        return pcm


def _append(pcm: bytes) -> str:
    return _line("input_audio_buffer.append", audio=base64.b64encode(pcm).decode("ascii"))


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))
