"""The speech that ships with the project, as numbers: int16, mono, 16 kHz."""

import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLES = Path(__file__).resolve().parents[2] / "src/frontend/page/public/samples"
SAMPLE_RATE_HZ = 16_000


@cache
def clip(voice: str) -> NDArray[np.int16]:
    """(n,) int16, mono, 16 kHz; voices are slt, rms, awb, kal16."""
    with wave.open(str(SAMPLES / f"{voice}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def words(voice: str) -> str:
    """What is said in it."""
    return (SAMPLES / f"{voice}.txt").read_text().strip()


def at_level(pcm: NDArray[np.int16], peak: int) -> NDArray[np.int16]:
    """The same, with its loudest sample at `peak`."""
    return (pcm.astype(np.float64) * (peak / np.abs(pcm).max())).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * SAMPLE_RATE_HZ), np.int16)
