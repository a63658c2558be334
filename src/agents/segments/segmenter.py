"""Speech events to segments. Pure: no clock, no await.

A segment opens at the first interim that holds words (or at a final without one), keeps its id, sequence and
start, and ends with a final. A final without words ends it with the words already shown: they cannot be taken
back from a screen, and a line that stays open for ever would be worse. Without words nothing is ever opened.
"""

import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from livekit.agents import stt

from contract.segments import MAX_TEXT_CHARS, Segment

INTERIMS = (stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)


class Sequence:
    """Orders the segments of a meeting; one per job, shared by all its segmenters."""

    def __init__(self, first: int) -> None:
        self._next = first
        self.last = 0
        """The highest number given out; 0: none."""

    def take(self) -> int:
        """The next number."""
        self.last = self._next
        self._next += 1
        return self.last


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Who speaks on a track."""

    identity: str
    name: str


class Segmenter:
    """One track's segments."""

    def __init__(
        self,
        *,
        speaker: Callable[[], Speaker],
        track_sid: str,
        engine: str,
        language: Callable[[], str],
        sequence: Sequence,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._speaker, self._track_sid, self._engine = speaker, track_sid, engine
        self._language, self._sequence, self._new_id = language, sequence, new_id
        self._open: Segment | None = None
        self._is_catching_up = False

    def feed(
        self, event: stt.SpeechEvent, *, starts_at: Callable[[float], int], ends_at: Callable[[float], int]
    ) -> list[Segment]:
        """The revisions that follow from an engine's event, none or one.

        `starts_at` and `ends_at` turn the event's seconds within its engine stream into UTC epoch ms.
        """
        if event.type is stt.SpeechEventType.END_OF_SPEECH:
            return self.close()
        is_final = event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        if not (is_final or event.type in INTERIMS) or not event.alternatives:
            return []
        best = event.alternatives[0]
        text = clean(best.text)
        if not text:
            return self.close() if is_final else []
        start_ms = starts_at(best.start_time)
        segment = self._open or self._opened(
            start_ms=start_ms, language=str(best.language) or self._language()
        )
        is_new = self._open is None
        if not is_final and not is_new and not self._is_worth_saying(text, segment):
            return []
        self._is_catching_up = False
        revised = replace(
            segment,
            revision=0 if is_new else segment.revision + 1,
            is_final=is_final,
            text=text,
            end_ms=max(segment.end_ms, ends_at(best.end_time)),
        )
        self._open = None if is_final else revised
        return [revised]

    def catch_up(self) -> None:
        """The audio of the open segment is being heard again: until the words shown are reached, say nothing."""
        self._is_catching_up = self._open is not None

    def close(self) -> list[Segment]:
        """End what is open with the words it has."""
        if self._open is None:
            return []
        said = replace(self._open, revision=self._open.revision + 1, is_final=True)
        self._open, self._is_catching_up = None, False
        return [said]

    def _opened(self, *, start_ms: int, language: str) -> Segment:
        speaker = self._speaker()
        return Segment(
            id=self._new_id(),
            track_sid=self._track_sid,
            sequence=self._sequence.take(),
            revision=0,
            is_final=False,
            speaker_identity=speaker.identity,
            speaker_name=speaker.name,
            language=language,
            start_ms=start_ms,
            end_ms=start_ms,
            engine=self._engine,
            text="",
        )

    def _is_worth_saying(self, text: str, segment: Segment) -> bool:
        if self._is_catching_up and len(text) < len(segment.text):
            return False
        return text != segment.text


def clean(text: str) -> str:
    """Words and single spaces, no control characters, at most what a segment may hold."""
    printable = "".join(
        " " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text
    )
    return " ".join(printable.split())[:MAX_TEXT_CHARS]
