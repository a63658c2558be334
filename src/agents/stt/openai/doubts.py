"""What a model writes though nobody said it. Pure.

The gate has let only voices through; what is left is told by structure, never by the words: how sure the model is
that there is speech, how fast one would have to speak, what repeats itself, and what was read from the
vocabulary it was given.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NO_SPEECH_PROB = 0.6
AVG_LOGPROB = -1.0
"""Whisper's own rule: a segment is silence when both say so."""
MAX_CHARS_PER_S = 45.0
"""Twice as fast as the fastest speakers."""
LONG_CHARS = 20
"""Of a shorter text speed says nothing."""
MAX_LOOP_WORDS = 12
REPEATS = 5
"""So often in a row nobody says the same."""
READ_WORDS = 6
"""So many words of the vocabulary in its order, and nothing else, are no coincidence."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """As in a `verbose_json` answer."""

    text: str
    no_speech_prob: float = 0.0
    avg_logprob: float = 0.0


def believed(text: str, *, segments: Sequence[Segment] = (), audio_s: float, vocabulary: str = "") -> str:
    """What of it was said, as far as its structure tells; empty: nothing."""
    if segments:
        text = "".join(segment.text for segment in segments if not _is_silence(segment))
    text = without_loops(text.strip())
    is_too_fast = len(text) >= LONG_CHARS and len(text) > MAX_CHARS_PER_S * audio_s
    return "" if is_too_fast or _is_read(text, vocabulary) else text


def without_loops(text: str) -> str:
    """What repeats itself REPEATS times or more is said once."""
    words = text.split()
    kept: list[str] = []
    at = 0
    while at < len(words):
        size, times = _loop_at(words, at)
        kept += words[at : at + size]
        at += size * times
    return " ".join(kept) if len(kept) < len(words) else text


def _loop_at(words: list[str], at: int) -> tuple[int, int]:
    """How many words repeat themselves from here on, and how often; 1, 1 when none do."""
    for size in range(1, MAX_LOOP_WORDS + 1):
        unit, times = words[at : at + size], 1
        while words[at + size * times : at + size * (times + 1)] == unit:
            times += 1
        if times >= REPEATS:
            return size, times
    return 1, 1


def _is_silence(segment: Segment) -> bool:
    return segment.no_speech_prob > NO_SPEECH_PROB and segment.avg_logprob < AVG_LOGPROB


def _is_read(text: str, vocabulary: str) -> bool:
    said, given = _words(text), _words(vocabulary)
    return len(said) >= READ_WORDS and any(
        given[at : at + len(said)] == said for at in range(len(given) - len(said) + 1)
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
