"""Somebody who joins a room, talks, and waits to read what was said. Only checks import this: it loads WebRTC."""

import array
import asyncio
import contextlib
import itertools
import wave
from pathlib import Path

from livekit import rtc

from contract import names

FRAMES_PER_S = 50
PAUSE_S = 2.0
"""Between one time and the next: an engine ends a sentence at a pause."""


class Guest:
    """Says the same clip over and over, from `join` to `leave`."""

    def __init__(self, *, url: str, token: str, clip: Path) -> None:
        self._url, self._token, self._clip = url, token, clip
        self._room = rtc.Room()
        self._talking: asyncio.Task[None] | None = None
        self._is_leaving = False
        self._reading: set[asyncio.Task[None]] = set()
        self.has_read_words = asyncio.Event()

    async def join(self) -> None:
        """Raises rtc.ConnectError or PublishTrackError."""
        pcm, rate_hz = _read(self._clip)
        self._room.register_text_stream_handler(names.TOPIC_TRANSCRIPTION, self._on_caption)
        self._room.register_text_stream_handler(names.TOPIC_STATUS, lambda *_: None)  # else livekit logs each
        await self._room.connect(self._url, self._token, rtc.RoomOptions(auto_subscribe=False))
        source = rtc.AudioSource(rate_hz, 1, queue_size_ms=200)
        await self._room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("microphone", source),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )
        self._talking = asyncio.create_task(self._talk(source, pcm, rate_hz), name="talk")

    async def leave(self) -> None:
        """Also when never quite joined."""
        self._is_leaving = True
        if (
            self._talking is not None
        ):  # not cancelled: livekit answers every frame, and there has to be somebody
            await asyncio.wait({self._talking})
        for task in self._reading:
            task.cancel()
        if self._room.isconnected():
            await self._room.disconnect()

    async def _talk(self, source: rtc.AudioSource, pcm: "array.array[int]", rate_hz: int) -> None:
        size = rate_hz // FRAMES_PER_S
        pcm = pcm + array.array("h", bytes(2 * round(PAUSE_S * rate_hz)))
        starts = itertools.cycle(range(0, len(pcm) - size + 1, size))
        while not self._is_leaving:
            start = next(starts)
            frame = pcm[start : start + size].tobytes()
            await source.capture_frame(rtc.AudioFrame(frame, rate_hz, 1, size))
        await source.aclose()

    def _on_caption(self, reader: rtc.TextStreamReader, sender: str) -> None:
        task = asyncio.create_task(self._read_caption(reader, sender), name="caption")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read_caption(self, reader: rtc.TextStreamReader, sender: str) -> None:
        with contextlib.suppress(rtc.StreamError):
            text = await reader.read_all()
            said_by = (reader.info.attributes or {}).get(names.ATTRIBUTE_SPEAKER_IDENTITY)
            # As any viewer: a caption counts only if it comes as its speaker's.
            if text.strip() and sender == said_by == self._room.local_participant.identity:
                self.has_read_words.set()


def _read(clip: Path) -> "tuple[array.array[int], int]":
    with wave.open(str(clip)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise wave.Error("mono, 16 bits")
        return array.array("h", file.readframes(file.getnframes())), file.getframerate()
