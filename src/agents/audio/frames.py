"""A LiveKit track as frames."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiEvent

from agents.audio.pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Chunker, Frame

QUEUE_FRAMES = 500
"""10 s: a job that stalls longer than that has lost its lease anyway."""
CLOSE_TIMEOUT_S = 1.0


class TrackFrames:
    """Frames of a subscribed track, whatever its rate and channels; ends with the track."""

    def __init__(self, track: rtc.Track) -> None:
        self._stream = _OwnFrames(track)
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


class _OwnFrames(rtc.AudioStream):
    """livekit hands each frame of any track to every stream of the process, and wakes a task of each for it.

    With eight people that is seven of eight for nothing, 8 % of a room's processor time (measured). So this one
    asks for its own alone; livekit's queue has filters for that, and its streams do not use them so.
    """

    def __init__(self, track: rtc.Track) -> None:
        super().__init__(
            track,
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            frame_size_ms=FRAME_MS,
            capacity=QUEUE_FRAMES,
        )
        frames_of_all, handle = self._ffi_queue, self._ffi_handle.handle

        def is_own(event: FfiEvent) -> bool:
            return (
                event.WhichOneof("message") == "audio_stream_event"
                and event.audio_stream_event.stream_handle == handle
            )

        self._ffi_queue = FfiClient.instance.queue.subscribe(self._loop, filter_fn=is_own)
        FfiClient.instance.queue.unsubscribe(frames_of_all)
