"""Marked words in audio, for engines that hear it whole or as it comes."""

from dataclasses import dataclass

import numpy as np

from tests.support.deepgram.markers import MarkerEar

FRAGMENT_S = 0.01
"""A burst that sounds when the audio begins is the end of a word that somebody else has heard."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """In seconds of the audio; it has not been heard to its end yet."""

    text: str
    start_s: float
    end_s: float


class Ear:
    """Of one stretch of audio: PCM16, mono."""

    def __init__(self, *, sample_rate_hz: int = 16_000) -> None:
        self._ear, self._rate_hz = MarkerEar(sample_rate_hz=sample_rate_hz), sample_rate_hz
        self._rest, self._samples = b"", 0
        self._under_way: Word | None = None

    @property
    def heard_s(self) -> float:
        """Of audio."""
        return self._samples / self._rate_hz

    @property
    def under_way(self) -> Word | None:
        """The word that has begun and not ended."""
        return self._under_way

    def feed(self, pcm: bytes) -> list[Word]:
        """The words that end in it."""
        self._rest += pcm
        size = 2 * self._ear.hop
        ended = []
        while len(self._rest) >= size:
            hop, self._rest = self._rest[:size], self._rest[size:]
            self._samples += self._ear.hop
            if self._under_way and self._under_way.end_s <= self.heard_s:
                ended.append(self._under_way)
                self._under_way = None
            marker = self._ear.feed(np.frombuffer(hop, np.int16))
            if marker is not None and marker.start_s >= FRAGMENT_S:
                self._under_way = Word(text=f"w{marker.code:03}", start_s=marker.start_s, end_s=marker.end_s)
        return ended


def words_in(pcm: bytes, *, sample_rate_hz: int = 16_000) -> list[Word]:
    """Of a whole utterance."""
    return Ear(sample_rate_hz=sample_rate_hz).feed(pcm)
