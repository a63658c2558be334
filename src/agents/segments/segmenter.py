"""Speech events to segments. Pure: no clock, no await.

A segment opens at the first interim that holds words (or at a final without one), keeps its id, sequence and
start, and ends with a final. A final without words ends it with the words already shown: they cannot be taken
back from a screen, and a line that stays open for ever would be worse. Without words nothing is ever opened.

Each revision names the engine that heard it: one that was begun by one engine may be ended by another. It names its
speaker as they are called by then.
"""

import math
import re
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from livekit.agents import stt

from contract.segments import MAX_TEXT_CHARS, Segment

INTERIMS = (stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
"""As BCP 47 writes them; what an engine says otherwise names no language."""


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

    def pass_by(self, taken: int) -> None:
        """Somebody else has given out this number; ours are higher from now on."""
        self.last = max(self.last, taken)
        self._next = max(self._next, taken + 1)


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
        self.engine = engine
        """Whose events are fed; set anew at a switch to another."""
        self._speaker, self._track_sid = speaker, track_sid
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
        language = _language_named(best.language)
        start_s = _stream_s(best.start_time, otherwise=0.0)
        end_s = _stream_s(best.end_time, otherwise=start_s)
        segment = self._open
        if segment is None:
            segment = self._opened(start_ms=starts_at(start_s), language=language or self._language())
        elif not is_final and not self._is_worth_saying(text, segment):
            return []
        self._is_catching_up = False
        revised = replace(
            segment,
            revision=segment.revision + 1,
            is_final=is_final,
            language=language or segment.language,
            text=text,
            end_ms=max(segment.end_ms, ends_at(end_s)),
            engine=self.engine,
            speaker_name=self._speaker().name,
        )
        self._open = None if is_final else revised
        return [revised]

    def catch_up(self) -> None:
        """The audio of the open segment is being heard again: until the words shown are reached, say nothing."""
        self._is_catching_up = self._open is not None

    def close(self) -> list[Segment]:
        """End what is open with the words it has; its engine stays the one that said them."""
        if self._open is None:
            return []
        name = self._speaker().name
        said = replace(self._open, revision=self._open.revision + 1, is_final=True, speaker_name=name)
        self._open, self._is_catching_up = None, False
        return [said]

    def _opened(self, *, start_ms: int, language: str) -> Segment:
        """What there is before its first revision."""
        speaker = self._speaker()
        return Segment(
            id=self._new_id(),
            track_sid=self._track_sid,
            sequence=self._sequence.take(),
            revision=-1,
            is_final=False,
            speaker_identity=speaker.identity,
            speaker_name=speaker.name,
            language=language,
            start_ms=start_ms,
            end_ms=start_ms,
            engine=self.engine,
            text="",
        )

    def _is_worth_saying(self, text: str, segment: Segment) -> bool:
        if self._is_catching_up and len(text) < len(segment.text):
            return False
        return text != segment.text


def clean(text: str) -> str:
    """Words and single spaces, no control characters, at most what a segment may hold."""
    if not text.isprintable():  # nearly all text is, and looking at each character takes time
        text = "".join(
            " " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text
        )
    return " ".join(text.split())[:MAX_TEXT_CHARS].rstrip()


def _language_named(tag: str | None) -> str:
    """The tag if it is one, else nothing."""
    return str(tag) if tag and LANGUAGE_TAG.fullmatch(tag) else ""


def _stream_s(seconds: float, *, otherwise: float) -> float:
    """Engines are programs of others: what is no time counts as `otherwise`."""
    return max(0.0, seconds) if math.isfinite(seconds) else otherwise
