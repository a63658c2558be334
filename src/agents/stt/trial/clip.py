"""The speech an engine is tried with; ours, made as the page's samples are (tools/make_samples.sh)."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Chunker, Frame

HERE = Path(__file__).parent
LANGUAGE = "en"
QUIET_PEAK = 1000
"""Of int16: what lies below is not speech."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """`speech_ends_at` is the number of the frame after the last with speech."""

    words: str
    frames: tuple[Frame, ...]
    speech_ends_at: int


def read_clip() -> Clip:
    """A file of 100 kB: read once, in a process that does nothing else."""
    with wave.open(str(HERE / "clip.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    frames = tuple(Chunker(FRAME_SAMPLES).feed(samples))
    loud = [number for number, frame in enumerate(frames) if np.abs(frame).max() >= QUIET_PEAK]
    return Clip(words=(HERE / "clip.txt").read_text().strip(), frames=frames, speech_ends_at=loud[-1] + 1)
