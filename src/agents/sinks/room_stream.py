"""Segments into the room, at the pace of its viewers."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from livekit import rtc

from agents.sinks import captions
from agents.sinks.fence import Fence
from agents.sinks.outbox import Outbox
from contract.segments import Segment

SEND_TIMEOUT_S = 2.0
RETRY_AFTER_S = 0.2
GIVE_UP_FINAL_AFTER_S = 10.0

logger = logging.getLogger(__name__)


async def keep_nothing(_: Segment) -> None:
    """No transcript is kept of it."""


class RoomStream:
    """One speaker's captions; speakers do not wait for each other.

    A final is shown, live or as part of the backlog, once `keep` has returned.
    """

    def __init__(
        self,
        *,
        room: rtc.Room,
        fence: Fence,
        on_delivered: Callable[[Segment], None] = lambda _: None,
        on_sent: Callable[[Segment], None] = lambda _: None,
        keep: Callable[[Segment], Awaitable[None]] = keep_nothing,
        publish: Callable[[rtc.Room, Segment], Awaitable[None]] = captions.publish,
    ) -> None:
        self._room, self._fence, self._publish = room, fence, publish
        self._on_delivered, self._on_sent, self._keep = on_delivered, on_sent, keep
        self._keeping: dict[str, asyncio.Task[None]] = {}
        """Of the finals that are not sent yet, by segment."""
        self._outbox = Outbox()
        self._filled, self._has_room, self._is_idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_idle.set()

    async def deliver(self, segment: Segment) -> None:
        """Waits only while far too many finals are unsent."""
        while self._outbox.is_full:
            self._has_room.clear()
            await self._has_room.wait()
        self._outbox.put(segment)
        if not segment.is_final:
            self._on_delivered(segment)
        elif self._fence.is_open(now=asyncio.get_running_loop().time()):
            self._begin_to_keep(segment)  # whatever keeps us from sending it meanwhile
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

    def _begin_to_keep(self, segment: Segment) -> asyncio.Task[None]:
        if segment.id not in self._keeping:
            self._keeping[segment.id] = asyncio.create_task(self._kept(segment), name="keep a final")
        return self._keeping[segment.id]

    async def _kept(self, segment: Segment) -> None:
        await self._keep(segment)
        self._on_delivered(segment)

    async def _send(self, segment: Segment) -> None:
        if segment.is_final:
            await asyncio.wait({self._begin_to_keep(segment)})
            del self._keeping[segment.id]
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
                await self._publish(self._room, segment)
            self._on_sent(segment)
        except Exception:  # noqa: BLE001 - livekit raises bare Exceptions of many kinds while it reconnects
            return False
        return True
