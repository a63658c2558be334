"""Audio as numbers: int16, mono, 16 kHz, in frames of 20 ms."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAMES_PER_S = 1000 // FRAME_MS

Frame = NDArray[np.int16]
"""(320,) int16, mono, 16 kHz."""


class Chunker:
    """Samples of any number in, pieces of exactly `size` samples out; keeps the rest for the next call."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = np.empty(0, np.int16)

    def feed(self, samples: NDArray[np.int16]) -> list[NDArray[np.int16]]:
        """All whole pieces there are now, in order."""
        if not self._rest.size and samples.size == self._size:
            return [samples]
        joined = np.concatenate((self._rest, samples))
        whole = joined.size // self._size * self._size
        self._rest = joined[whole:].copy()
        return [joined[start : start + self._size] for start in range(0, whole, self._size)]
