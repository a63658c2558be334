"""Audio to what is sent of it at once: an utterance, or pieces of a long one. No clock and no network.

A piece ends at the first pause from a multiple of 3 s on, so that no word is cut in two; where there is none for a
second it ends all the same.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_BYTES = 2
ALIGN_S = 3.0
SEARCH_S = 1.0
"""How far from its place a cut may be."""
PAUSE_S = 0.1
QUIET = 0.3
"""How loud a pause may be, of the piece's own loudness."""
MAX_PIECE_S = 30.0
"""Whisper's window."""


class Cutter:
    """Says where a long utterance may be cut."""

    def __init__(self, *, piece_s: float, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._due = round(piece_s * sample_rate_hz)
        self._latest = self._due + round(SEARCH_S * sample_rate_hz)
        self._pause = round(PAUSE_S * sample_rate_hz)
        self.begin()

    def begin(self) -> None:
        """Another piece."""
        self._samples, self._power = 0, 0.0
        self._recent: deque[tuple[int, float]] = deque()
        self._recent_samples = 0

    def feed(self, samples: NDArray[np.int16]) -> bool:
        """(n,) int16, mono: whether the piece ends after these."""
        power = float(np.sum(np.square(samples, dtype=np.float64)))
        self._samples += samples.size
        self._power += power
        self._recent.append((samples.size, power))
        self._recent_samples += samples.size
        while self._recent_samples - self._recent[0][0] >= self._pause:
            self._recent_samples -= self._recent.popleft()[0]
        if self._samples < self._due or not (self._is_pause() or self._samples >= self._latest):
            return False
        self.begin()
        return True

    def _is_pause(self) -> bool:
        recent = sum(power for _, power in self._recent) / self._recent_samples
        return self._recent_samples >= self._pause and math.sqrt(recent) <= QUIET * math.sqrt(
            self._power / self._samples
        )


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Audio for one request; times are seconds of the stream. `ends`: the utterance ends with it."""

    pcm: bytes
    begins_s: float
    """The utterance, not the piece."""
    end_s: float
    ends: bool


@dataclass(kw_only=True)
class _Waiting:
    """One piece as it gathers."""

    pcm: bytearray
    is_whole: bool = False
    ends: bool = False


class Gatherer:
    """What was pushed and not taken yet. Whole pieces of an utterance that have piled up go together."""

    def __init__(self, *, piece_s: float, sample_rate_hz: int) -> None:
        self._bytes_per_s = sample_rate_hz * SAMPLE_BYTES
        self._cutter = Cutter(piece_s=piece_s, sample_rate_hz=sample_rate_hz)
        self._waiting = deque([_Waiting(pcm=bytearray())])
        self._taken_bytes = self._begin_bytes = 0
        self._held_bytes = 0

    @property
    def held_s(self) -> float:
        """Of audio that waits."""
        return self._held_bytes / self._bytes_per_s

    def audio(self, pcm: bytes) -> None:
        """PCM16, mono, of the rate."""
        self._waiting[-1].pcm += pcm
        self._held_bytes += len(pcm)
        if self._cutter.feed(np.frombuffer(pcm, np.int16)):
            self._close(ends=False)

    def flush(self) -> None:
        """The utterance ends; also one without audio, so that every flush has its piece."""
        self._cutter.begin()
        self._close(ends=True)

    def take(self) -> Piece | None:
        """What may be sent now, oldest first."""
        if not self._waiting[0].is_whole:
            return None
        pcm, ends = bytearray(), False
        while not ends and self._waiting[0].is_whole and self._fits(pcm):
            piece = self._waiting.popleft()
            pcm += piece.pcm
            ends = piece.ends
        begin_bytes = self._begin_bytes
        self._taken_bytes += len(pcm)
        self._held_bytes -= len(pcm)
        if ends:
            self._begin_bytes = self._taken_bytes
        return Piece(
            pcm=bytes(pcm),
            begins_s=begin_bytes / self._bytes_per_s,
            end_s=self._taken_bytes / self._bytes_per_s,
            ends=ends,
        )

    def _fits(self, pcm: bytearray) -> bool:
        return not pcm or len(pcm) + len(self._waiting[0].pcm) <= MAX_PIECE_S * self._bytes_per_s

    def _close(self, *, ends: bool) -> None:
        self._waiting[-1].is_whole, self._waiting[-1].ends = True, ends
        self._waiting.append(_Waiting(pcm=bytearray()))
