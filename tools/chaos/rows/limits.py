"""F20: no disk and few descriptors for the worker. What a lack of memory ends is a job, which is F2."""

import asyncio
import resource
import time

import psutil

from tools.chaos import record
from tools.chaos.lab import Lab
from tools.chaos.marked import Account, MarkedMeeting
from tools.chaos.rows.engines import NEEDS, WORKER, Finding, together
from tools.chaos.table import Seen, row

STEADY_S = 3.0
DESCRIPTORS = 256
MANY = ("ada", "ben", "cyd", "dan", "eve", "fay", "gus", "hal")
"""As many as a worker takes."""


@row(
    "F20",
    fault="the worker's disk is full (no file of its grows); it has 256 descriptors and 8 people",
    expected="captions go on, of a new room too; the same worker; 0 lost, 0 doubled; finals that cannot be written "
    "down are kept in memory while the backend is away, and stored after",
    needs=NEEDS,
    timeout_s=240,
)
async def f20(lab: Lab, *, long: bool, short: bool) -> Seen:
    findings = await _without_a_disk(lab)
    findings += await _with_few_descriptors(lab, people=MANY[: 4 if short else 8])
    return together(findings)


async def _without_a_disk(lab: Lab) -> list[Finding]:
    """Log and temporary files alike: as on a full disk, each write fails."""
    worker = lab.process(WORKER)
    pid = worker.pid
    async with MarkedMeeting(lab) as meeting:
        await record.keep(meeting)
        await meeting.begin()
        worker.limit(resource.RLIMIT_FSIZE, 0)
        written = len(worker.log())
        async with MarkedMeeting(lab, people=("ben",)) as another:
            await record.keep(another)
            await another.begin()
            held = await _held_in_memory(lab, meeting, another)
            account = await _said(another)
        is_full = len(worker.log()) == written
        worker.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        account += await _said(meeting)
        kept = await record.settled(meeting, another)
    is_well = is_full and worker.is_running and worker.pid == pid
    return [
        Finding(f"disk full: {account}", account.is_whole),
        Finding("the same worker, and no line in its log meanwhile", is_well),
        Finding(f"{kept}, {held} of them held in memory", kept.is_whole and held > 0),
    ]


async def _held_in_memory(lab: Lab, *meetings: MarkedMeeting) -> int:
    """How many finals had been seen and not stored when the backend came back."""
    backend = lab.process("backend-1")
    await asyncio.to_thread(backend.kill)
    await asyncio.sleep(STEADY_S)
    await asyncio.gather(*(meeting.hush() for meeting in meetings[1:]))
    await asyncio.sleep(1.0)
    held = sum([(await asyncio.to_thread(record.record_of, meeting)).lost for meeting in meetings])
    backend.start()
    await asyncio.to_thread(backend.wait_ready)
    return held


async def _with_few_descriptors(lab: Lab, *, people: tuple[str, ...]) -> list[Finding]:
    worker = lab.process(WORKER)
    await asyncio.to_thread(worker.stop)
    worker.start()
    worker.limit(resource.RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS)
    await lab.mend()
    async with MarkedMeeting(lab, people=people) as meeting:
        await meeting.begin()
        await meeting.resumed(time.monotonic() - 5, timeout_s=10)
        await asyncio.sleep(STEADY_S)
        used = [_descriptors(pid) for pid in (worker.pid, lab.job_of(meeting.room))]
        account = await _said(meeting)
    return [
        Finding(
            f"{len(people)} people with {used[0]} and {used[1]} of {DESCRIPTORS} descriptors: {account}",
            account.is_whole,
        )
    ]


async def _said(meeting: MarkedMeeting) -> Account:
    """Everybody falls silent; what became of all that was said."""
    await meeting.hush()
    account = await meeting.settled()
    await meeting.stop()
    return account


def _descriptors(pid: int) -> int:
    return psutil.Process(pid).num_fds()
