"""One participant who means harm, as a process of its own: `python -m tools.chaos.hostile_client URL TOKEN VICTIM`.

Floods the room with data messages, forges captions and states in other people's names, and bloats its attributes.
Says once a second how many data messages it has sent, and ends on SIGTERM.
"""

import asyncio
import contextlib
import ctypes
import json
import signal
import sys
import time
import uuid

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiRequest

from contract import names
from contract.segments import Segment

MESSAGES_PER_S = 1000
BURST_EVERY_S = 0.02
CAPTIONS_EVERY_S = 0.1
STATUS_EVERY_S = 0.5
ATTRIBUTES_EVERY_S = 1.0
ATTRIBUTES_BYTES = (65_536, 60_000)
"""The first is more than LiveKit takes, the second just not."""
MARK = "forged words"
PAYLOAD = (ctypes.c_byte * 200)(*b"x" * 200)


class Hostile:
    def __init__(self, *, victim: str, victims_track: str) -> None:
        self.room = rtc.Room()
        self._victim, self._track = victim, victims_track
        self._sequence = 10**9
        self.sent = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for work in (self._flood, self._forge_captions, self._forge_status, self._bloat, self._tell):
                tasks.create_task(work())

    async def _flood(self) -> None:
        began = time.monotonic()
        while True:
            due = int((time.monotonic() - began) * MESSAGES_PER_S)
            while self.sent < due:
                self._send_without_waiting(reliable=self.sent % 2 == 0)
                self.sent += 1
            await asyncio.sleep(BURST_EVERY_S)

    def _send_without_waiting(self, *, reliable: bool) -> None:
        # `publish_data` waits for an answer to each message, which takes too long for a thousand a second.
        request = FfiRequest()
        request.publish_data.local_participant_handle = self.room.local_participant._ffi_handle.handle
        request.publish_data.data_ptr = ctypes.addressof(PAYLOAD)
        request.publish_data.data_len = ctypes.sizeof(PAYLOAD)
        request.publish_data.reliable = reliable
        request.publish_data.topic = names.TOPIC_STATUS
        FfiClient.instance.request(request)

    async def _forge_captions(self) -> None:
        while True:
            segment = self._forged_segment()
            await self._stream(names.TOPIC_TRANSCRIPTION, segment.text, segment.to_attributes())
            with contextlib.suppress(Exception):
                await self.room.local_participant.publish_transcription(_packet(segment))
            await asyncio.sleep(CAPTIONS_EVERY_S)

    async def _forge_status(self) -> None:
        status = {
            "state": "failed",
            "engine": "embedded",
            "language": "en",
            "behind_ms": None,
            "reason": "policy",
        }
        while True:
            await self._stream(names.TOPIC_STATUS, json.dumps(status), {})
            await asyncio.sleep(STATUS_EVERY_S)

    async def _bloat(self) -> None:
        while True:
            for size in ATTRIBUTES_BYTES:
                with contextlib.suppress(Exception):  # refused is fine
                    async with asyncio.timeout(2):
                        await self.room.local_participant.set_attributes({"a": uuid.uuid4().hex[0] * size})
            await asyncio.sleep(ATTRIBUTES_EVERY_S)

    async def _tell(self) -> None:
        while True:
            print(self.sent, flush=True)
            await asyncio.sleep(1)

    async def _stream(self, topic: str, text: str, attributes: dict[str, str]) -> None:
        with contextlib.suppress(Exception):  # livekit raises bare ones; the next try comes soon
            writer = await self.room.local_participant.stream_text(
                topic=topic, attributes=attributes, sender_identity=self._victim
            )
            await writer.write(text)
            await writer.aclose()

    def _forged_segment(self) -> Segment:
        self._sequence += 1
        now_ms = round(time.time() * 1000)
        return Segment(
            id=str(uuid.uuid4()),
            text=f"{MARK} {self._sequence}",
            is_final=True,
            track_sid=self._track,
            sequence=self._sequence,
            revision=0,
            speaker_identity=self._victim,
            speaker_name=self._victim.title(),
            language="en",
            start_ms=now_ms - 1000,
            end_ms=now_ms,
            engine="embedded",
        )


def _packet(segment: Segment) -> rtc.Transcription:
    words = rtc.TranscriptionSegment(
        id=segment.id,
        text=segment.text,
        start_time=segment.start_ms,
        end_time=segment.end_ms,
        language=segment.language,
        final=True,
    )
    return rtc.Transcription(
        participant_identity=segment.speaker_identity, track_sid=segment.track_sid, segments=[words]
    )


async def main(url: str, token: str, victim: str, victims_track: str) -> None:
    hostile = Hostile(victim=victim, victims_track=victims_track)
    await hostile.room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
    running = asyncio.create_task(hostile.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await hostile.room.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
