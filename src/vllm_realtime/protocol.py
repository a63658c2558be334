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

SAMPLE_RATE_HZ = 16_000
BYTES_PER_S = 2 * SAMPLE_RATE_HZ
MAX_APPEND_BYTES = BYTES_PER_S // 5
"""What was held back goes in fewer messages, while live audio goes frame by frame."""
MAX_HELD_BYTES = 40 * BYTES_PER_S
"""Who holds more waits for a server that does not finish."""
MAX_TEXT_CHARS = 10_000


@dataclass(frozen=True, kw_only=True)
class Created:
    """The server is there: first of all it says."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """Text to append; never taken back. Empty ones come too."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The whole utterance; a server may correct its deltas."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The server's `error`; `code` is one of its constants. There will be no `done`."""

    code: str


Heard = Created | Delta | Done | Failed

STATUS_OF_CODE = {"capacity": 503, "model_not_found": 404, "model_not_validated": 404}
"""HTTP's word for the same. Whatever else the server calls an error may pass."""


def parse(line: str) -> Heard | None:
    """None for what needs no answer: other events, and whatever is not an event at all."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    match event.get("type"):
        case "session.created":
            return Created()
        case "transcription.delta" if isinstance(delta := event.get("delta"), str):
            return Delta(text=delta[:MAX_TEXT_CHARS])
        case "transcription.done" if isinstance(text := event.get("text"), str):
            return Done(text=text[:MAX_TEXT_CHARS])
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


@dataclass(frozen=True, kw_only=True)
class Step:
    """What follows at once: lines to send, and how many flushes have found nothing more to end."""

    lines: tuple[str, ...] = ()
    ended: int = 0


class Conversation:
    """What to send, and when; the caller says when the rest after `done` is over."""

    def __init__(self, *, max_utterance_bytes: int) -> None:
        """A longer utterance is ended, and goes on as another: a model hears only so much in one piece."""
        self._max_utterance_bytes = max_utterance_bytes
        self.turn = Turn.READY
        self.text = ""
        """The utterance's text so far."""
        self.begin_bytes = 0
        """Where in all the audio sent the current utterance began."""
        self.sent_bytes = self.held_bytes = 0
        self._held: deque[bytes | None] = deque()  # None: a flush
        self._owes_end = False

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to send and nothing to wait for."""
        return not self._held and self.turn in (Turn.READY, Turn.RESTING)

    def audio(self, pcm: bytes) -> Step:
        """PCM16, mono, 16 kHz."""
        if not pcm:
            return Step()
        self._held.append(pcm)
        self.held_bytes += len(pcm)
        return self._send_held()

    def flush(self) -> Step:
        """The speaker pauses. Without audio there is nothing to end: a commit before audio is never sent."""
        self._held.append(None)
        return self._send_held()

    def delta(self, text: str) -> bool:
        """False for what is of no utterance."""
        if self.turn not in (Turn.GENERATING, Turn.ENDING):
            return False
        self.text = (self.text + text)[:MAX_TEXT_CHARS]
        return True

    def done(self) -> Step | None:
        """None when nobody asked for it: how much of the audio it means is not known then, and the server has
        thrown away what was sent meanwhile."""
        if self.turn is not Turn.ENDING:
            return None
        self.turn = Turn.RESTING
        return Step(ended=int(self._owes_end))

    def rested(self) -> Step:
        """The moment after `done` is over."""
        if self.turn is Turn.RESTING:
            self.turn = Turn.READY
        return self._send_held()

    def _send_held(self) -> Step:
        lines: list[str] = []
        ended = 0
        while self._held and self.turn in (Turn.READY, Turn.GENERATING):
            is_flush = self._held[0] is None
            if is_flush:
                self._held.popleft()
            if self.turn is Turn.GENERATING and (is_flush or self._is_too_long):
                lines.append(_line("input_audio_buffer.commit", final=True))
                self.turn, self._owes_end = Turn.ENDING, is_flush
            elif is_flush:
                ended += 1
            else:
                lines += self._append_held()
        return Step(lines=tuple(lines), ended=ended)

    @property
    def _is_too_long(self) -> bool:
        return self.sent_bytes - self.begin_bytes >= self._max_utterance_bytes

    def _append_held(self) -> list[str]:
        """As much of the utterance as fits into one message; its first one begins the generation."""
        begins = self.turn is Turn.READY
        if begins:
            self.turn, self.text, self.begin_bytes = Turn.GENERATING, "", self.sent_bytes
        pcm = b""
        while self._held and (piece := self._held[0]) is not None:
            if pcm and len(pcm) + len(piece) > MAX_APPEND_BYTES:
                break
            pcm += piece
            self._held.popleft()
        self.sent_bytes += len(pcm)
        self.held_bytes -= len(pcm)
        lines = [_line("input_audio_buffer.append", audio=base64.b64encode(pcm).decode("ascii"))]
        return [*lines, _line("input_audio_buffer.commit", final=False)] if begins else lines


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))
