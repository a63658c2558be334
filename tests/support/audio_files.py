"""Clips with their text beside them."""

from pathlib import Path

import av


def pcm_and_text(text: Path) -> tuple[bytes, str]:
    """PCM16 16 kHz mono of the `.wav` or `.flac` beside a `.txt`, and what it says."""
    audio = next(path for suffix in (".wav", ".flac") if (path := text.with_suffix(suffix)).exists())
    return pcm_of(audio), text.read_text().strip()


def pcm_of(audio: Path) -> bytes:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(audio)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)
