"""What people have posted for the room, corrections and captioners' lines: published as captions, in order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from livekit import rtc

from agents.sinks import captions
from agents.sinks.fence import Fence
from agents.sinks.room_stream import RoomStream
from contract.segments import Segment
from contract.transcripts import PostedSegment

WAITING_LIMIT = 100
"""What is not taken is told again."""


class Posted:
    """One for the room. What was posted is stored already, so it is not handed in."""

    def __init__(
        self,
        *,
        room: rtc.Room,
        fence: Fence,
        on_arrival: Callable[[Segment], None],
        on_taken: Callable[[], None],
        publish: Callable[[rtc.Room, Segment], Awaitable[None]] = captions.publish,
    ) -> None:
        self._on_arrival, self._on_taken = on_arrival, on_taken
        self._stream = RoomStream(room=room, fence=fence, on_sent=self._note_sent, publish=publish)
        self._waiting: asyncio.Queue[PostedSegment] = asyncio.Queue(WAITING_LIMIT)
        self._last_number = self._number_under_way = 0
        self.taken = 0
        """The highest number that the room has."""

    def take(self, posted: Iterable[PostedSegment]) -> None:
        """In order; what was told before counts once."""
        for one in posted:
            if one.number > self._last_number and not self._waiting.full():
                self._last_number = one.number
                self._waiting.put_nowait(one)
                self._on_arrival(one.segment)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stream.run(), name="posted segments")
            while True:
                one = await self._waiting.get()
                self._number_under_way = one.number
                await self._stream.deliver(one.segment)
                await self._stream.drained()

    def _note_sent(self, _: Segment) -> None:
        self.taken = self._number_under_way
        self._on_taken()
