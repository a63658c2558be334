"""What a job writes down, when, and how long it waits for that."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest
from livekit import rtc

from agents.sinks.backlog import Backlog
from agents.sinks.fence import Fence
from agents.sinks.record import WRITING_LIMIT, WRITTEN_WITHIN_S, Record
from agents.sinks.room_stream import RoomStream
from contract.segments import Segment
from tests.support.finals import final


class Disk:
    """Takes finals; may be full, or hang."""

    def __init__(self) -> None:
        self.files: list[Segment] = []
        self.is_full = False
        self.works = threading.Event()
        self.works.set()

    def write(self, segment: Segment) -> str:
        self.works.wait(5)
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.files.append(segment)
        return f"file {len(self.files)}"


class Worker:
    """Is told."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.unwritten: list[Segment] = []
        self.reads = True

    def hand_in(self, *, written: tuple[str, ...] = (), unwritten: tuple[Segment, ...] = ()) -> bool:
        if self.reads:
            self.written += written
            self.unwritten += unwritten
        return self.reads


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def record(disk: Disk, worker: Worker) -> AsyncIterator[Record]:
    record = Record(kept_since_ms=1_000, write=disk.write, hand_in=worker.hand_in)
    yield record
    disk.works.set()
    await record.settled(within_s=5)


async def test_only_what_is_said_while_a_transcript_is_kept_is_written(
    record: Record, disk: Disk, worker: Worker
) -> None:
    under_way, before = final(end_ms=1_001), final(end_ms=1_000)
    await record.keep(under_way)
    await record.keep(before)
    record.kept_since_ms = None
    await record.keep(final(end_ms=9_000))
    record.kept_since_ms = 5_000
    await record.keep(final(end_ms=4_000))

    assert disk.files == [under_way]
    assert (worker.written, worker.unwritten) == (["file 1"], [])


async def test_a_disk_that_hangs_holds_up_nobody_for_long_and_loses_nothing(
    record: Record, disk: Disk, worker: Worker
) -> None:
    disk.works.clear()
    said = final()
    began = time.monotonic()
    await record.keep(said)

    assert WRITTEN_WITHIN_S * 0.9 < time.monotonic() - began < 1
    assert worker.unwritten == [said]
    disk.works.set()
    await record.settled(within_s=5)
    assert (disk.files, worker.written) == ([said], ["file 1"])


async def test_what_cannot_be_written_goes_to_the_worker_and_what_nobody_takes_is_counted(
    disk: Disk, worker: Worker
) -> None:
    lost: list[bool] = []
    record = Record(
        kept_since_ms=1_000, write=disk.write, hand_in=worker.hand_in, on_lost=lambda: lost.append(True)
    )
    disk.is_full = True
    said = final()
    await record.keep(said)
    worker.reads = False
    await record.keep(final())

    assert (worker.unwritten, len(lost)) == ([said], 1)


async def test_no_more_wait_for_a_disk_than_may(record: Record, disk: Disk, worker: Worker) -> None:
    disk.works.clear()
    crowd = WRITING_LIMIT + 5
    await asyncio.gather(*(record.keep(final()) for _ in range(crowd)))
    disk.works.set()
    await record.settled(within_s=5)

    assert (len(disk.files), len(worker.unwritten)) == (WRITING_LIMIT, crowd)


class Shown:
    """The room, and whether what it shows was written before."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.were_kept: asyncio.Queue[bool] = asyncio.Queue()

    async def publish(self, _: rtc.Room, segment: Segment) -> None:
        self.were_kept.put_nowait(segment in self._disk.files)


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_final_is_written_before_anybody_sees_it(
    record: Record, disk: Disk, *, is_open: bool
) -> None:
    loop = asyncio.get_running_loop()
    fence, shown, backlog = Fence(now=loop.time()), Shown(disk), Backlog(limit=5, max_age_ms=10**12)

    def open_fence() -> None:
        fence.told_to_speak(report=fence.next_report(now=loop.time()), now=loop.time())

    if is_open:
        open_fence()
    stream = RoomStream(
        room=cast(rtc.Room, None),
        fence=fence,
        on_delivered=backlog.put,
        keep=record.keep,
        publish=shown.publish,
    )
    running = asyncio.create_task(stream.run())
    disk.works.clear()
    said = final()
    await stream.deliver(said)
    assert backlog.segments(now_ms=0) == []  # nor is it repeated to newcomers
    disk.works.set()
    if not is_open:
        assert disk.files == []  # who may not speak has nothing to keep
        open_fence()
    async with asyncio.timeout(5):
        assert await shown.were_kept.get()
        await stream.drained()

    assert (disk.files, len(backlog.segments(now_ms=0))) == ([said], 1)  # once
    running.cancel()


async def test_a_final_that_cannot_be_sent_yet_is_written_all_the_same(record: Record, disk: Disk) -> None:
    loop = asyncio.get_running_loop()
    fence = Fence(now=loop.time())
    fence.told_to_speak(report=fence.next_report(now=loop.time()), now=loop.time())
    stream = RoomStream(room=cast(rtc.Room, None), fence=fence, keep=record.keep)
    said = final()
    await stream.deliver(said)  # nothing runs that would send it
    await asyncio.sleep(0)
    await record.settled(within_s=5)

    assert disk.files == [said]
