"""OpenAI's realtime transcription without a socket: its events, and which words belong to which utterance.

Audio is appended and committed; a commit makes an item, whose words come as deltas and then whole. Models that write
while they listen send deltas of an item that is yet to be committed; the others begin at the commit, so a long
utterance is committed in pieces. Items may be completed in another order than they were committed in.

Source: https://platform.openai.com/docs/guides/realtime-transcription
"""

import base64
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.runtime.errors import EngineFault, EngineLost
from agents.stt.faults import fault_of
from agents.stt.openai import models
from agents.stt.openai.languages import language_named, language_of
from agents.stt.openai.options import OpenAIRealtimeOptions
from agents.stt.openai.pieces import SAMPLE_BYTES, Cutter
from agents.stt.openai.prompts import prompt_of
from agents.stt.openai.transcriptions import STATUS_OF_CODE
from agents.stt.wire import MAX_TEXT_CHARS, message_of, plain

SAMPLE_RATE_HZ = 24_000
"""The only one that is taken."""
BYTES_PER_S = SAMPLE_RATE_HZ * SAMPLE_BYTES
MAX_APPEND_BYTES = BYTES_PER_S // 5
"""0.2 s: what has piled up goes in fewer messages, while live audio goes frame by frame."""
LEAST_COMMIT_BYTES = BYTES_PER_S // 5
"""Less than 0.1 s is refused; silence makes it up."""
MAX_OPEN_ITEMS = 100
"""Committed and not completed: an engine that is so far behind is given up."""

COMMIT = '{"type":"input_audio_buffer.commit"}'
TRANSCRIPTION = "conversation.item.input_audio_transcription."


def session_update(
    options: OpenAIRealtimeOptions, *, language: str = "", vocabulary: Sequence[str] = ()
) -> str:
    """Says how to hear; goes before any audio. `language` wins over that of the options."""
    spoken = language_of(language or options.language)
    how: dict[str, Any] = {"model": options.model}
    if models.takes_keywords(options.model):
        how |= {"languages": [spoken]} if spoken else {}
        how |= {"keywords": list(vocabulary)} if vocabulary else {}
    else:
        how |= {"language": spoken} if spoken else {}
        if models.takes_prompt(options.model) and (prompt := prompt_of(vocabulary)):
            how["prompt"] = prompt
    audio = {
        "format": {"type": "audio/pcm", "rate": SAMPLE_RATE_HZ},
        "transcription": how,
        "turn_detection": None,  # the pipeline knows where an utterance ends
    }
    return _line("session.update", session={"type": "transcription", "audio": {"input": audio}})


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A commit has become an item."""

    item: str


@dataclass(frozen=True, kw_only=True)
class Delta:
    """More of an item's text."""

    item: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Completed:
    """All of an item's text; `language` as detected, empty when the engine does not say."""

    item: str
    text: str
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An item or the session came to nothing."""

    fault: EngineFault


@dataclass(frozen=True, kw_only=True)
class Aside:
    """An event that needs no answer."""


Heard = Committed | Delta | Completed | Failed | Aside


def parse(line: str) -> Heard | None:
    """None for what is no event, or one of the wrong shape."""
    if (event := message_of(line)) is None:
        return None
    kind = event["type"]
    if kind in ("error", TRANSCRIPTION + "failed"):
        return Failed(fault=_fault(event.get("error")))
    if kind not in ("input_audio_buffer.committed", TRANSCRIPTION + "delta", TRANSCRIPTION + "completed"):
        return Aside()
    if not isinstance(item := event.get("item_id"), str) or not item:
        return None
    if kind == "input_audio_buffer.committed":
        return Committed(item=item)
    is_delta = kind == TRANSCRIPTION + "delta"
    text = event.get("delta" if is_delta else "transcript")
    if not isinstance(text, str):
        return None
    return (
        Delta(item=item, text=plain(text))
        if is_delta
        else Completed(item=item, text=plain(text), language=_detected(event.get("languages")))
    )


def _fault(error: object) -> EngineFault:
    code = error.get("code") if isinstance(error, dict) else None
    status = STATUS_OF_CODE.get(code) if isinstance(code, str) else None
    return EngineLost("the engine failed") if status is None else fault_of(status=status, headers=None)


def _detected(languages: object) -> str:
    """The most likely one stands first."""
    first = languages[0] if isinstance(languages, list) and languages else None
    code = first.get("code") if isinstance(first, dict) else None
    return language_named(code) if isinstance(code, str) else ""


@dataclass(frozen=True, kw_only=True)
class Words:
    """An utterance's text so far; with a final one everything is said. Times are seconds of the stream."""

    text: str
    begins_s: float
    end_s: float
    is_final: bool = False
    language: str = ""


@dataclass(kw_only=True)
class _Item:
    """A stretch of audio between two commits."""

    begins_s: float
    """The utterance, not the item."""
    id: str = ""
    text: str = ""
    language: str = ""
    end_s: float = 0.0
    is_committed: bool = False
    is_complete: bool = False
    ends: bool = False


class Conversation:
    """What to send, and what an event says. Not more than MAX_OPEN_ITEMS are remembered."""

    def __init__(self, options: OpenAIRealtimeOptions) -> None:
        self._is_cut = not models.writes_while_it_listens(options.model)
        self._cutter = Cutter(piece_s=options.piece_s, sample_rate_hz=SAMPLE_RATE_HZ)
        self._items = deque([_Item(begins_s=0.0)])
        """The last is not committed."""
        self._sent_bytes = self._committed_bytes = 0
        self._said = ""
        """By the completed items of the oldest utterance."""
        self._done: deque[str] = deque(maxlen=MAX_OPEN_ITEMS)
        """Items that have been said."""

    @property
    def waits(self) -> bool:
        """Whether a commit has not been answered."""
        return len(self._items) > 1

    @property
    def sent_s(self) -> float:
        """Of audio."""
        return self._sent_bytes / BYTES_PER_S

    def audio(self, pcm: bytes) -> list[str]:
        """PCM16, mono, 24 kHz. Raises EngineLost when too many commits have no answer."""
        self._sent_bytes += len(pcm)
        lines = [_append(pcm)]
        if self._cutter.feed(np.frombuffer(pcm, np.int16)) and self._is_cut:
            lines += self._commit(ends=False)
        return lines

    def flush(self) -> tuple[list[str], list[Words]]:
        """The utterance ends. Without audio in it there may be nothing to wait for."""
        self._cutter.begin()
        if self._sent_bytes > self._committed_bytes:
            return self._commit(ends=True), []
        # Nothing to commit: the end takes its turn behind what was committed before.
        self._close(ends=True).is_complete = True
        return [], self._completed()

    def heard(self, event: Committed | Delta | Completed) -> list[Words]:
        """What can be said now, in the order of the audio."""
        item = self._named(event.item)
        if item is None or item.is_complete or isinstance(event, Committed):
            return []
        if isinstance(event, Delta):
            item.text = (item.text + event.text)[:MAX_TEXT_CHARS]
            return [self._so_far()] if item is self._items[0] else []
        if not item.is_committed:
            return []
        item.text, item.language, item.is_complete = event.text.strip(), event.language, True
        return self._completed()

    def _commit(self, *, ends: bool) -> list[str]:
        missing = LEAST_COMMIT_BYTES - (self._sent_bytes - self._committed_bytes)
        self._committed_bytes = self._sent_bytes
        self._close(ends=ends)
        return [*([_append(bytes(missing))] if missing > 0 else []), COMMIT]

    def _close(self, *, ends: bool) -> _Item:
        if len(self._items) > MAX_OPEN_ITEMS:
            raise EngineLost("the engine does not keep up")
        item = self._items[-1]
        item.is_committed, item.ends, item.end_s = True, ends, self.sent_s
        self._items.append(_Item(begins_s=self.sent_s if ends else item.begins_s))
        return item

    def _named(self, item_id: str) -> _Item | None:
        """A new name is that of the oldest audio without one: the engine hears in order, and tells in order."""
        for item in self._items:
            if item.id == item_id:
                return item
        if item_id in self._done:
            return None
        for item in self._items:
            if not (item.id or item.is_complete):
                item.id = item_id
                return item
        return None

    def _so_far(self) -> Words:
        item = self._items[0]
        return Words(
            text=_joined(self._said, item.text),
            begins_s=item.begins_s,
            end_s=item.end_s if item.is_committed else self.sent_s,
            language=item.language,
        )

    def _completed(self) -> list[Words]:
        words = []
        while self._items[0].is_complete:
            item, said = self._items[0], self._so_far()
            self._items.popleft()
            self._done.append(item.id)
            self._said = "" if item.ends else said.text
            words.append(
                Words(
                    text=said.text,
                    begins_s=said.begins_s,
                    end_s=said.end_s,
                    is_final=item.ends,
                    language=item.language,
                )
            )
        return words


def _joined(said: str, more: str) -> str:
    return " ".join(part for part in (said, more.strip()) if part)[:MAX_TEXT_CHARS]


def _append(pcm: bytes) -> str:
    return _line("input_audio_buffer.append", audio=base64.b64encode(pcm).decode("ascii"))


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))
