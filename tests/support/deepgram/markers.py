"""Numbers in audio: short bursts of three tones that ride over speech, and the ear that hears them.

Each digit of a code is one of ten tones of its own kilohertz, from 4 to 6.9 kHz: within what 16 kHz audio holds,
above most of a voice, and one tone among ten is told from a hiss, which has them all. A burst lasts 60 ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

CODES = 1000
MARKER_S = 0.06
RAMP_S = 0.005
HOP_S = 0.01
WINDOW_S = 0.04
"""A Hann window of 40 ms tells tones 100 Hz apart."""
BIN_HZ = 25
TONE_AMPLITUDE = 2_600
"""Of int16, for each of the three."""
DIGITS = 3
FIRST_HZ, DIGIT_HZ, TONE_HZ = 4_000, 1_000, 100

MIN_AMPLITUDE = 150.0
DOMINANCE = 8.0
"""How far a tone stands above the mean of its kilohertz, in power."""
BALANCE = 64.0
"""How far the three may differ, in power: codecs treat them unequally."""
REPEAT_AFTER_S = 0.05
"""The same code so soon after its end is its echo."""

Pcm = NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class Marker:
    """One burst, where it was heard in the stream."""

    code: int
    start_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + MARKER_S


def tones_hz(code: int) -> tuple[int, ...]:
    """The three tones of a code from 0 to 999."""
    digits = f"{code:0{DIGITS}}"
    if len(digits) != DIGITS:
        raise ValueError("a code has three digits")
    return tuple(FIRST_HZ + place * DIGIT_HZ + int(digit) * TONE_HZ for place, digit in enumerate(digits))


@cache
def marker(code: int, *, sample_rate_hz: int = 16_000) -> Pcm:
    """(n,) int16, mono: the burst of a code."""
    at_s = np.arange(round(MARKER_S * sample_rate_hz)) / sample_rate_hz
    # Unequal phases keep the peak of the sum low.
    tones = sum(
        np.sin(2 * np.pi * hz * at_s + phase)
        for phase, hz in zip((0.0, 2.1, 4.2), tones_hz(code), strict=True)
    )
    edge = np.minimum(at_s, at_s[::-1]) / RAMP_S
    return np.asarray(TONE_AMPLITUDE * tones * np.minimum(edge, 1.0)).astype(np.int16)


def with_markers(
    pcm: Pcm, at_s_and_codes: Iterable[tuple[float, int]], *, sample_rate_hz: int = 16_000
) -> Pcm:
    """The same audio with a burst mixed in at each time; raises ValueError where one does not fit."""
    mixed = pcm.astype(np.int32)
    for at_s, code in at_s_and_codes:
        burst = marker(code, sample_rate_hz=sample_rate_hz)
        start = round(at_s * sample_rate_hz)
        if not 0 <= start <= len(pcm) - len(burst):
            raise ValueError("a marker does not fit into the audio")
        mixed[start : start + len(burst)] += burst
    return np.clip(mixed, -32_768, 32_767).astype(np.int16)


class MarkerEar:
    """Hears markers in a stream, hop by hop of 10 ms."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        if sample_rate_hz < 2 * (FIRST_HZ + DIGITS * DIGIT_HZ):
            raise ValueError("markers need at least 14 kHz")
        self._rate_hz = sample_rate_hz
        self.hop = round(HOP_S * sample_rate_hz)
        self._size = round(WINDOW_S * sample_rate_hz)
        self._hann = np.hanning(self._size).astype(np.float32)
        self._scale = 2.0 / float(self._hann.sum())
        # The last 120 ms: the window, and room to look back for where a burst began.
        self._recent = np.zeros(self.hop * 12, np.float32)
        self._heard_samples = 0
        self._candidate: int | None = None
        self._last = Marker(code=-1, start_s=float("-inf"))

    def feed(self, hop: Pcm) -> Marker | None:
        """One hop of samples; a marker comes once, when it is certain, which is before its end has been heard."""
        self._recent[: -self.hop] = self._recent[self.hop :]
        self._recent[-self.hop :] = hop
        self._heard_samples += self.hop
        code = self._code()
        is_certain, self._candidate = code is not None and code == self._candidate, code
        if code is None or not is_certain:
            return None
        heard_s = self._heard_samples / self._rate_hz
        if heard_s - WINDOW_S < self._last.end_s + (
            REPEAT_AFTER_S if code == self._last.code else -HOP_S * 2
        ):
            return None
        marker = Marker(code=code, start_s=self._onset_s(code))
        if marker.start_s < self._last.end_s - HOP_S * 2:
            return None  # the end of the same burst, misread
        self._last = marker
        return marker

    def _code(self) -> int | None:
        spectrum = np.fft.rfft(self._recent[-self._size :] * self._hann)
        first, width = FIRST_HZ // BIN_HZ, TONE_HZ // BIN_HZ
        # Bins from half a tone below the first to half a tone above the last: a row for each tone.
        band = spectrum[first - width // 2 : first - width // 2 + 10 * DIGITS * width]
        power = (np.abs(band) * self._scale) ** 2
        tones = power.reshape(DIGITS, 10, width).max(axis=2)
        best = tones.argmax(axis=1)
        peaks = tones.max(axis=1)
        if peaks.min() < MIN_AMPLITUDE**2 or peaks.max() > BALANCE * peaks.min():
            return None
        rest = (tones.sum(axis=1) - peaks) / 9
        if (peaks < DOMINANCE * rest).any():
            return None
        return int(best[0]) * 100 + int(best[1]) * 10 + int(best[2])

    def _onset_s(self, code: int) -> float:
        """Where the three tones together reach half their height, by a sliding window of a hop."""
        at = np.arange(len(self._recent)) / self._rate_hz
        level = np.zeros(len(self._recent) - self.hop + 1)
        for hz in tones_hz(code):
            sums = np.concatenate(([0], np.cumsum(self._recent * np.exp(-2j * np.pi * hz * at))))
            level += np.abs(sums[self.hop :] - sums[: -self.hop])
        half = np.median(level[-self.hop * 3 :]) / 2
        below = np.flatnonzero(level < half)
        first = int(below[-1]) + 1 if len(below) else 0
        if len(below) and below[-1] >= len(level) - self.hop * 2:  # the end of the burst is in already
            earlier = np.flatnonzero(level[: -self.hop * 3] < half)
            first = int(earlier[-1]) + 1 if len(earlier) else 0
        centre = self._heard_samples - len(self._recent) + first + self.hop / 2
        return max(0.0, centre / self._rate_hz - RAMP_S / 2)
