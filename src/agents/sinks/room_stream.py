"""Segments into the room: a text stream for each revision, and the older transcription packet."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from livekit import rtc

from agents.sinks.fence import Fence
from agents.sinks.outbox import Outbox
from contract import names
from contract.segments import Segment

SEND_TIMEOUT_S = 2.0
RETRY_AFTER_S = 0.2
GIVE_UP_FINAL_AFTER_S = 10.0

logger = logging.getLogger(__name__)


class RoomStream:
    """One speaker's captions; speakers do not wait for each other."""

    def __init__(
        self, *, room: rtc.Room, fence: Fence, on_sent: Callable[[Segment], None] = lambda _: None
    ) -> None:
        self._room, self._fence, self._on_sent = room, fence, on_sent
        self._outbox = Outbox()
        self._filled, self._has_room, self._is_idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_idle.set()

    async def deliver(self, segment: Segment) -> None:
        """Waits only while far too many finals are unsent."""
        while self._outbox.is_full:
            self._has_room.clear()
            await self._has_room.wait()
        self._outbox.put(segment)
        self._is_idle.clear()
        self._filled.set()

    async def run(self) -> None:
        """Send what is delivered, in order."""
        loop = asyncio.get_running_loop()
        while True:
            wait_s = self._outbox.next_in_s(now=loop.time())
            if wait_s is None:
                self._is_idle.set()
                self._filled.clear()
                await self._filled.wait()
            elif not self._fence.is_open(now=loop.time()):
                await self._fence.opens()
            elif segment := self._outbox.take(now=loop.time()):
                self._has_room.set()
                await self._send(segment)
            else:
                self._filled.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._filled.wait()

    async def drained(self) -> None:
        """Until all that was delivered is out."""
        await self._is_idle.wait()

    async def _send(self, segment: Segment) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + GIVE_UP_FINAL_AFTER_S
        while not await self._is_sent(segment) and segment.is_final:
            if loop.time() > give_up_at:
                logger.warning("a final could not be sent", extra={"segment_id": segment.id})
                return
            await asyncio.sleep(RETRY_AFTER_S)
            await self._fence.opens()  # however long that takes, it is tried once more

    async def _is_sent(self, segment: Segment) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await _publish(self._room, segment)
            self._on_sent(segment)
        except Exception:  # noqa: BLE001 - livekit raises bare Exceptions of many kinds while it reconnects
            return False
        return True


async def _publish(room: rtc.Room, segment: Segment) -> None:
    # The old packet does not wait for the stream's three round trips through livekit's FFI.
    await asyncio.gather(_publish_stream(room, segment), _publish_packet(room, segment))


async def _publish_stream(room: rtc.Room, segment: Segment) -> None:
    writer = await room.local_participant.stream_text(
        topic=names.TOPIC_TRANSCRIPTION,
        attributes=segment.to_attributes(),
        sender_identity=segment.speaker_identity,
    )
    await writer.write(segment.text)
    await writer.aclose()


async def _publish_packet(room: rtc.Room, segment: Segment) -> None:
    packet = rtc.TranscriptionSegment(
        id=segment.id,
        text=segment.text,
        start_time=segment.start_ms,
        end_time=segment.end_ms,
        language=segment.language,
        final=segment.is_final,
    )
    await room.local_participant.publish_transcription(
        rtc.Transcription(
            participant_identity=segment.speaker_identity, track_sid=segment.track_sid, segments=[packet]
        )
    )
