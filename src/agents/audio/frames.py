"""A LiveKit track as frames."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc

from agents.audio.pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Chunker, Frame

QUEUE_FRAMES = 500
"""10 s: a job that stalls longer than that has lost its lease anyway."""
CLOSE_TIMEOUT_S = 1.0


class TrackFrames:
    """Frames of a subscribed track, whatever its rate and channels; ends with the track."""

    def __init__(self, track: rtc.Track) -> None:
        self._stream = rtc.AudioStream(
            track,
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            frame_size_ms=FRAME_MS,
            capacity=QUEUE_FRAMES,
        )
        self._chunks = Chunker(FRAME_SAMPLES)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        async for event in self._stream:
            for frame in self._chunks.feed(np.frombuffer(event.frame.data, dtype=np.int16)):
                yield frame

    async def aclose(self) -> None:
        """Let go of the track."""
        # room.disconnect() blocks for up to 30 s while streams live, so this has to come first, and end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._stream.aclose()
