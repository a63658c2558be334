"""What people say: clips with marked words in them, and pauses between. Pure."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support import clips
from tests.support.deepgram.markers import CODES, MARKER_S, with_markers

VOICES = ("slt", "rms", "awb", "kal16")
MARKER_EVERY_S = 0.7
JITTER = 0.15
"""Of the time between two words, either way."""
FIRST_MARKER_AFTER_S = 0.15
"""A word at the very edge of the speech, so that a lost edge is a lost word."""
LEVEL = 12_000


@dataclass(frozen=True, kw_only=True)
class Speech:
    """(n,) int16, mono, 16 kHz, and the words in it: code and the number of the sample after its last."""

    pcm: NDArray[np.int16]
    words: tuple[tuple[int, int], ...]


class Codes:
    """The next code of one speaker; they come again after `CODES` words."""

    def __init__(self, first: int) -> None:
        self._next = first % CODES

    def take(self) -> int:
        code, self._next = self._next, (self._next + 1) % CODES
        return code


def utterances(
    *, seed: int, pause_s: float, every_s: float = MARKER_EVERY_S, most_s: float | None = None
) -> Iterator[Speech]:
    """One clip after another, at most so long, each with its marked words and a pause; without end."""
    chance, codes = random.Random(seed), Codes(seed * 37)
    for voice in itertools.cycle(VOICES[seed % 4 :] + VOICES[: seed % 4]):
        clip = clips.clip(voice)[: round(most_s * clips.SAMPLE_RATE_HZ) if most_s else None]
        yield marked(clips.at_level(clip, LEVEL), codes=codes, chance=chance, every_s=every_s)
        pause = max(0.3, chance.gauss(pause_s, pause_s / 5)) if pause_s else 0.0
        yield Speech(pcm=clips.silence(pause), words=())


def marked(speech: NDArray[np.int16], *, codes: Codes, chance: random.Random, every_s: float) -> Speech:
    """A word about every `every_s`, the last close to the end."""
    jitter_s = every_s * JITTER
    length_s = len(speech) / clips.SAMPLE_RATE_HZ
    last_s = length_s - MARKER_S - FIRST_MARKER_AFTER_S
    count = max(1, int((last_s - FIRST_MARKER_AFTER_S) / every_s)) + 1
    at_s = np.linspace(FIRST_MARKER_AFTER_S, last_s, count)
    at_s[1:-1] += [chance.uniform(-jitter_s, jitter_s) for _ in at_s[1:-1]]
    placed = [(float(at), codes.take()) for at in at_s]
    ends = tuple((code, round((at + MARKER_S) * clips.SAMPLE_RATE_HZ)) for at, code in placed)
    return Speech(pcm=with_markers(speech, placed), words=ends)
