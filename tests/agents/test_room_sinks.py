"""What goes into the room, when livekit fails to take it: a room of its kind that can be made to fail."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from livekit import rtc

from agents.sinks.backlog import Backlog
from agents.sinks.fence import STALL_S, Fence
from agents.sinks.newcomers import NEWCOMERS_LIMIT, Newcomers
from agents.sinks.posted import Posted
from agents.sinks.room_status import RoomStatus
from agents.sinks.room_stream import RoomStream
from contract.segments import Segment
from contract.status import State, Status
from contract.transcripts import PostedSegment, Transcript

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
        self.remote_participants: dict[str, None] = {}
        self.failures = 0
        self.on_failure: Callable[[], None] = lambda: None
        self.sent: asyncio.Queue[list[str] | None] = asyncio.Queue()

    async def stream_text(self, *, destination_identities: list[str] | None = None, **_: Any) -> "Writer":
        if self.failures:
            self.failures -= 1
            self.on_failure()
            raise Exception("not now")  # as livekit does
        return Writer(self, destination_identities)

    async def publish(self, _: rtc.Room, segment: Segment, *, to: list[str] | None = None) -> None:
        """As the captions' module does it."""
        writer = await self.stream_text(destination_identities=to)
        await writer.write(segment.text)
        await writer.aclose()

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
    sink = RoomStream(room=cast(rtc.Room, room), fence=fence, publish=room.publish)
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


async def test_a_transcript_that_is_switched_is_told_and_a_lag_that_changes_is_not(
    room: FlakyRoom, fence: Fence
) -> None:
    status = RoomStatus(room=cast(rtc.Room, room), fence=fence)
    running = asyncio.create_task(status.run())
    status.set(LIVE)
    assert await room.next_sent() is None
    status.set(replace(LIVE, behind_ms=400))
    status.set(replace(LIVE, behind_ms=400, transcript=Transcript.ON))
    assert await room.next_sent() is None
    await asyncio.sleep(0.1)

    assert room.sent.empty()
    running.cancel()


async def test_what_was_posted_is_taken_once_it_is_in_the_room_in_order_and_once(
    room: FlakyRoom, fence: Fence
) -> None:
    arrived: list[Segment] = []
    taken: asyncio.Queue[int] = asyncio.Queue()
    posted = Posted(
        room=cast(rtc.Room, room),
        fence=fence,
        on_arrival=arrived.append,
        on_taken=lambda: taken.put_nowait(posted.taken),
        publish=room.publish,
    )
    lines = [PostedSegment(number=n, segment=replace(FINAL, id=str(n))) for n in (3, 5, 6)]
    room.failures = 1
    posted.take(lines[:2])
    running = asyncio.create_task(posted.run())
    assert posted.taken == 0
    posted.take(lines)
    async with asyncio.timeout(3):
        assert [await taken.get() for _ in lines] == [3, 5, 6]

    assert arrived == [line.segment for line in lines]
    assert room.sent.qsize() == 3
    running.cancel()
    await asyncio.wait({running})


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


@pytest.fixture
def backlog() -> Backlog:
    """Of one segment, said just now."""
    backlog = Backlog(limit=5, max_age_ms=60_000)
    backlog.put(replace(FINAL, end_ms=round(time.time() * 1000)))
    return backlog


def newcomers_of(room: FlakyRoom, fence: Fence, backlog: Backlog) -> Newcomers:
    return Newcomers(room=cast(rtc.Room, room), fence=fence, backlog=backlog, repeat=room.publish)


async def test_a_backlog_that_could_not_be_sent_is_sent_again(
    room: FlakyRoom, fence: Fence, backlog: Backlog
) -> None:
    room.failures, room.remote_participants = 2, {"bob": None}
    newcomers = newcomers_of(room, fence, backlog)
    running = asyncio.create_task(newcomers.run())
    newcomers.welcome("bob")

    assert await room.next_sent() == ["bob"]
    assert room.sent.empty()
    running.cancel()


async def test_those_who_come_together_are_sent_it_together_and_who_has_left_is_not(
    room: FlakyRoom, fence: Fence, backlog: Backlog
) -> None:
    room.remote_participants = {"bob": None, "eve": None}
    newcomers = newcomers_of(room, fence, backlog)
    running = asyncio.create_task(newcomers.run())
    for identity in ("bob", "ada", "eve"):
        newcomers.welcome(identity)

    assert await room.next_sent() == ["bob", "eve"]
    running.cancel()


async def test_a_job_that_may_not_speak_sends_no_backlog(room: FlakyRoom, backlog: Backlog) -> None:
    fence = Fence(now=now())
    room.remote_participants = {"bob": None}
    newcomers = newcomers_of(room, fence, backlog)
    running = asyncio.create_task(newcomers.run())
    newcomers.welcome("bob")
    await asyncio.sleep(0.2)
    assert room.sent.empty()
    backlog.put(replace(FINAL, id="b", sequence=2, end_ms=round(time.time() * 1000)))
    told_to_speak(fence)

    assert [await room.next_sent(), await room.next_sent()] == [
        ["bob"],
        ["bob"],
    ]  # what was said meanwhile too
    running.cancel()


async def test_no_crowd_fills_the_memory(room: FlakyRoom, backlog: Backlog) -> None:
    fence = Fence(now=now())
    room.remote_participants = {str(n): None for n in range(2 * NEWCOMERS_LIMIT)}
    newcomers = newcomers_of(room, fence, backlog)
    for identity in room.remote_participants:
        newcomers.welcome(identity)
    running = asyncio.create_task(newcomers.run())
    told_to_speak(fence)

    assert len(await room.next_sent() or []) == NEWCOMERS_LIMIT
    running.cancel()
