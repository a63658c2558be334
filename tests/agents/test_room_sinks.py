"""What goes into the room, when livekit fails to take it: a room of its kind that can be made to fail."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from livekit import rtc

from agents.sinks.fence import STALL_S, Fence
from agents.sinks.room_status import RoomStatus
from agents.sinks.room_stream import RoomStream
from contract.segments import Segment
from contract.status import State, Status

FINAL = Segment(
    id="a",
    track_sid="TR",
    sequence=1,
    revision=0,
    is_final=True,
    speaker_identity="ada",
    speaker_name="Ada",
    language="en",
    start_ms=0,
    end_ms=0,
    engine="embedded",
    text="x",
)
LIVE = Status(state=State.LIVE, engine="embedded", language="en")


class FlakyRoom:
    """Stands for rtc.Room: as much of it as the sinks use."""

    def __init__(self) -> None:
        self.local_participant = self
        self.failures = 0
        self.on_failure: Callable[[], None] = lambda: None
        self.sent: asyncio.Queue[list[str] | None] = asyncio.Queue()

    async def stream_text(self, *, destination_identities: list[str] | None = None, **_: Any) -> "Writer":
        if self.failures:
            self.failures -= 1
            self.on_failure()
            raise Exception("not now")  # as livekit does
        return Writer(self, destination_identities)

    async def publish_transcription(self, _: rtc.Transcription) -> None:
        pass

    async def next_sent(self) -> list[str] | None:
        """To whom."""
        async with asyncio.timeout(3):
            return await self.sent.get()


class Writer:
    def __init__(self, room: FlakyRoom, to: list[str] | None) -> None:
        self._room, self._to = room, to

    async def write(self, _: str) -> None:
        pass

    async def aclose(self) -> None:
        self._room.sent.put_nowait(self._to)


@pytest.fixture
def room() -> FlakyRoom:
    return FlakyRoom()


def now() -> float:
    return asyncio.get_running_loop().time()


def told_to_speak(fence: Fence) -> None:
    fence.told_to_speak(report=fence.next_report(now=now()), now=now())


@pytest.fixture
async def fence() -> Fence:
    """Open."""
    fence = Fence(now=now())
    told_to_speak(fence)
    return fence


async def test_a_final_waits_for_a_fence_that_closes_while_it_is_tried_again(
    room: FlakyRoom, fence: Fence
) -> None:
    def stalled() -> None:
        fence.beat(now=now() + STALL_S + 0.1)
        assert not fence.is_open(now=now())
        asyncio.get_running_loop().call_later(0.5, told_to_speak, fence)

    room.failures, room.on_failure = 1, stalled
    sink = RoomStream(room=cast(rtc.Room, room), fence=fence)
    running = asyncio.create_task(sink.run())
    await sink.deliver(FINAL)
    await room.next_sent()
    assert fence.is_open(now=now())
    running.cancel()


async def test_a_status_that_could_not_be_sent_is_sent_again(room: FlakyRoom, fence: Fence) -> None:
    room.failures = 2
    status = RoomStatus(room=cast(rtc.Room, room), fence=fence)
    running = asyncio.create_task(status.run())
    status.set(LIVE)

    assert await room.next_sent() is None
    running.cancel()


async def test_a_newcomer_who_could_not_be_told_is_told_later(room: FlakyRoom, fence: Fence) -> None:
    status = RoomStatus(room=cast(rtc.Room, room), fence=fence)
    running = asyncio.create_task(status.run())
    status.set(LIVE)
    assert await room.next_sent() is None
    room.failures = 2
    status.welcome("bob")

    assert await room.next_sent() == ["bob"]
    running.cancel()


async def test_a_newcomer_before_there_is_a_status_is_told_with_the_others(
    room: FlakyRoom, fence: Fence
) -> None:
    status = RoomStatus(room=cast(rtc.Room, room), fence=fence)
    running = asyncio.create_task(status.run())
    status.welcome("bob")
    await asyncio.sleep(0)
    status.set(LIVE)

    assert await room.next_sent() is None
    assert room.sent.empty()
    running.cancel()
