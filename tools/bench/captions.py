"""What a viewer saw, and what was said: as both are told, and how they are matched. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract import names

OURS, REFERENCE, FLOOR = "ours", "reference", "floor"
ATTRIBUTE_SENT_AT = "bench.sent_at"
"""When the floor sent its text (monotonic, one machine)."""

SHOWN_WITHIN_S = 20.0
"""Codes come again after a while; a word shown later than this is another one."""

_WORD = re.compile(r"\bw(\d{3,})\b")


@dataclass(frozen=True, kw_only=True)
class Said:
    """One marked word; `at`: when its last sample was given to LiveKit (monotonic)."""

    by: str
    code: int
    at: float
    utterance: int


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """From the first to the last sample of one stretch of speech (monotonic)."""

    by: str
    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One text stream, whole; `at`: when it had arrived (monotonic)."""

    at: float
    room: str
    by: str
    """The speaker, which every contestant names as the sender."""
    contestant: str
    segment: str
    is_final: bool
    text: str
    sent_at: float | None

    @property
    def codes(self) -> frozenset[int]:
        return codes_in(self.text)


def codes_in(text: str) -> frozenset[int]:
    return frozenset(int(digits) for digits in _WORD.findall(text))


def contestant_of(attributes: dict[str, str]) -> str:
    """Told by what only one of them sends."""
    if ATTRIBUTE_SENT_AT in attributes:
        return FLOOR
    return OURS if names.ATTRIBUTE_SEQUENCE in attributes else REFERENCE


def shown_after_s(said: Iterable[Said], captions: Sequence[Caption]) -> dict[Said, float]:
    """For each word that was shown: seconds from its last sample to the first caption that holds it."""
    found: dict[Said, float] = {}
    holding = _by_word(captions)
    for word in said:
        times = [c.at for c in holding.get((word.by, word.code), ()) if _is_of(c, word)]
        if times:
            found[word] = min(times) - word.at
    return found


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """Words against finals: lost are those that no final holds, doubled those that two segments' finals hold."""

    words: int
    lost: int
    doubled: int

    def __str__(self) -> str:
        return f"{self.lost} lost and {self.doubled} doubled of {self.words} words"

    @property
    def is_whole(self) -> bool:
        return self.words > 0 and not self.lost and not self.doubled


def integrity(said: Iterable[Said], captions: Sequence[Caption]) -> Integrity:
    """`captions` of one contestant, until well after the last word."""
    words = lost = doubled = 0
    holding = _by_word([caption for caption in captions if caption.is_final])
    for word in said:
        segments = {c.segment for c in holding.get((word.by, word.code), ()) if _is_of(c, word)}
        words += 1
        lost += not segments
        doubled += len(segments) > 1
    return Integrity(words=words, lost=lost, doubled=doubled)


@dataclass(frozen=True, kw_only=True)
class SentFinal:
    """A final as the engine sent it (monotonic)."""

    at: float
    codes: frozenset[int]


def final_hops_s(sent: Iterable[SentFinal], captions: Sequence[Caption]) -> list[float]:
    """From an engine's final to the viewer's, of those that hold the same words."""
    finals: dict[frozenset[int], list[float]] = {}
    for caption in captions:
        if caption.is_final and caption.codes:
            finals.setdefault(caption.codes, []).append(caption.at)
    hops = []
    for final in sent:
        later = [at - final.at for at in finals.get(final.codes, ()) if 0 <= at - final.at < SHOWN_WITHIN_S]
        if final.codes and later:
            hops.append(min(later))
    return hops


def _is_of(caption: Caption, word: Said) -> bool:
    return word.at < caption.at < word.at + SHOWN_WITHIN_S


def _by_word(captions: Sequence[Caption]) -> dict[tuple[str, int], list[Caption]]:
    found: dict[tuple[str, int], list[Caption]] = {}
    for caption in captions:
        for code in caption.codes:
            found.setdefault((caption.by, code), []).append(caption)
    return found
