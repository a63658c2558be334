"""Sound to mel cepstra, the numbers the acoustic model was trained on.

The same arithmetic as pocketsphinx's own front end with the bundled model's `feat.params` (noise removal
included; they differ by less than 1e-4), but it hands out the cepstra before a mean is taken off them,
which pocketsphinx's does not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_SECOND = 100
CEPSTRA = 13

_SHIFT, _WINDOW, _FFT = 160, 410, 512
_FILTERS, _LOWEST_HZ, _HIGHEST_HZ = 25, 130.0, 6800.0
_PREEMPHASIS, _LIFTER, _LOG_FLOOR = 0.97, 22, 1e-4

Floats = NDArray[np.float64]


class Cepstra:
    """A stream of samples to a stream of frames, each (13,) float64."""

    def __init__(self) -> None:
        self._samples: Floats = np.zeros(0)
        self._before = 0.0
        self._noise = NoiseRemoval()

    def feed(self, samples: NDArray[np.int16]) -> Floats:
        """(n,) int16, mono, 16 kHz to (frames, 13); what does not fill a frame waits for more."""
        self._samples = np.concatenate([self._samples, samples])
        frames = (len(self._samples) - _WINDOW) // _SHIFT + 1
        if frames <= 0:
            return np.zeros((0, CEPSTRA))
        power = _mel_power(self._samples, self._before, frames)
        taken = frames * _SHIFT
        self._before = float(self._samples[taken - 1])
        self._samples = self._samples[taken:]
        quiet = np.array([self._noise.remove(frame) for frame in power])
        return (np.log(quiet + _LOG_FLOOR) @ _DCT.T) * _LIFT


class NoiseRemoval:
    """Spectral subtraction with a tracked noise floor, step by step as in pocketsphinx's fe_noise.c."""

    def __init__(self) -> None:
        self._power: Floats | None = None

    def remove(self, mel_power: Floats) -> Floats:
        """(25,) power of one frame, scaled by how much of each band is speech."""
        if self._power is None:
            self._power = mel_power
            self._noise = self._floor = mel_power / 20
            self._peak = np.zeros(_FILTERS)
        self._power = 0.7 * self._power + 0.3 * mel_power
        self._noise = _lower_envelope(self._power, self._noise)
        signal = np.maximum(self._power - self._noise, 1.0)
        self._floor = _lower_envelope(signal, self._floor)
        faded = self._peak * 0.85
        masked = np.where(signal < 0.85 * faded, 0.2 * faded, signal)
        self._peak = np.maximum(faded, signal)
        gain = np.clip(np.maximum(masked, self._floor) / np.maximum(self._power, 1e-30), 1 / 20, 20)
        return mel_power * (_SMOOTH @ gain)


def _lower_envelope(level: Floats, envelope: Floats) -> Floats:
    return np.where(level >= envelope, 0.995 * envelope + 0.005 * level, 0.5 * envelope + 0.5 * level)


def _mel_power(samples: Floats, before: float, frames: int) -> Floats:
    emphasised = samples - _PREEMPHASIS * np.concatenate([[before], samples[:-1]])
    windows: Any = np.lib.stride_tricks.sliding_window_view(emphasised, _WINDOW)[::_SHIFT][:frames]
    power: Floats = np.abs(np.fft.rfft(windows * _HAMMING, _FFT)) ** 2 @ _MEL.T
    return power


def _mel_filters() -> Floats:
    """(25, 257): triangles of equal area, evenly spaced in mel, their corners on DFT points."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST_HZ, _HIGHEST_HZ))
    corners_mel = np.linspace(lowest, highest, _FILTERS + 2)
    point_hz = SAMPLE_RATE_HZ / _FFT
    corners = np.floor(700 * (10 ** (corners_mel / 2595) - 1) / point_hz + 0.5) * point_hz
    hz = np.arange(_FFT // 2 + 1) * point_hz
    low, mid, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid))
    filters: Floats = np.maximum(triangles, 0) * 2 / (high - low)
    return filters


def _smoothing() -> Floats:
    """(25, 25): each band's gain is the mean over four neighbours on either side."""
    bands = np.arange(_FILTERS)
    near = (np.abs(bands[:, None] - bands) <= 4).astype(np.float64)
    smooth: Floats = near / near.sum(axis=1, keepdims=True)
    return smooth


def _dct() -> Floats:
    rows = np.cos(np.pi / _FILTERS * np.arange(CEPSTRA)[:, None] * (np.arange(_FILTERS) + 0.5))
    rows *= np.sqrt(2 / _FILTERS)
    rows[0] = np.sqrt(1 / _FILTERS)
    return np.asarray(rows, dtype=np.float64)


_HAMMING = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(_WINDOW) / (_WINDOW - 1))
_MEL = _mel_filters()
_SMOOTH = _smoothing()
_DCT = _dct()
_LIFT = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
