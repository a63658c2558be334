"""The floor's job: read every track's frames, and send a fixed text as often as the others send captions.

No detector, no engine, no decision: what remains is what LiveKit's client and the framework cost.
"""

import asyncio
import contextlib
import os
import time
import uuid

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext, JobProcess

from agents.audio.pcm import FRAME_MS, SAMPLE_RATE_HZ
from contract import names
from tools.bench.captions import ATTRIBUTE_SENT_AT

TEXT = "the floor says as much as a caption of usual length would, and always the same"
WORDS_PER_SEGMENT = 8


def prepare_process(_: JobProcess) -> None:
    """Nothing to prepare."""


class Microphone:
    """One track, read to its end."""

    def __init__(self, room: rtc.Room, track: rtc.Track, *, speaker: str, every_s: float) -> None:
        self._room, self._track, self._speaker, self._every_s = room, track, speaker, every_s

    async def run(self) -> None:
        stream = rtc.AudioStream(
            self._track, sample_rate=SAMPLE_RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS, capacity=500
        )
        saying = asyncio.create_task(self._say())
        try:
            async for _ in stream:
                pass
        finally:
            saying.cancel()
            await stream.aclose()

    async def _say(self) -> None:
        loop = asyncio.get_running_loop()
        at, said, segment = loop.time(), 0, str(uuid.uuid4())
        while True:
            at += self._every_s
            await asyncio.sleep(at - loop.time())
            said += 1
            is_final = said % WORDS_PER_SEGMENT == 0
            with contextlib.suppress(Exception):  # livekit raises bare Exceptions while it reconnects
                await self._send(segment, is_final=is_final)
            if is_final:
                segment = str(uuid.uuid4())

    async def _send(self, segment: str, *, is_final: bool) -> None:
        writer = await self._room.local_participant.stream_text(
            topic=names.TOPIC_TRANSCRIPTION,
            sender_identity=self._speaker,
            attributes={
                names.ATTRIBUTE_SEGMENT_ID: segment,
                names.ATTRIBUTE_FINAL: "true" if is_final else "false",
                names.ATTRIBUTE_TRACK_ID: self._track.sid,
                ATTRIBUTE_SENT_AT: repr(time.monotonic()),
            },
        )
        await writer.write(TEXT)
        await writer.aclose()


async def transcribe_room(context: JobContext) -> None:
    every_s = float(os.environ["BENCH_FLOOR_EVERY_S"])
    reading: dict[str, asyncio.Task[None]] = {}

    def on_subscribed(
        track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            microphone = Microphone(context.room, track, speaker=participant.identity, every_s=every_s)
            reading[publication.sid] = asyncio.create_task(microphone.run())

    def on_unsubscribed(
        track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if task := reading.pop(publication.sid, None):
            task.cancel()

    context.room.on("track_subscribed", on_subscribed)
    context.room.on("track_unsubscribed", on_unsubscribed)
    await context.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
