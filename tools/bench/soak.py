"""Many people come, speak and go while the engine drops every connection again and again: what is left of it?

Also for a test: `soak(...)`, then `leftovers(...)` and `growth(...)` of what it returns.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.livekit import ROOT
from tools.bench import statistics, usage
from tools.bench.captions import OURS
from tools.bench.contestants import Ours
from tools.bench.lab import Lab, tell
from tools.bench.meeting import Meeting
from tools.bench.statistics import Estimate

SEATS = 8
"""How many are there at once, at most."""
SAYS_S = 2.5
SAMPLE_EVERY_S = 2.0
WARM_UP_SHARE = 0.4
"""Of the time: caches fill and allocators settle; what grows after that is growth."""
SETTLES_WITHIN_S = 30.0
POOL_THREADS = 4
"""Pools keep the threads they once needed; a thread left behind by each visitor would be hundreds."""
TOLD_WITHIN_S = 5.0
TELL_EVERY_S = 60.0
INSIDE = ROOT / "tools/bench/inside"


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the worker's main process and the room's job hold while nobody is in the room; tasks are the job's."""

    tasks: tuple[str, ...]
    threads: int
    descriptors: int
    sockets: int

    def beyond(self, before: "Held") -> list[str]:
        """What is more than before, in words."""
        more = [f"{count} {name}" for name, count in (Counter(self.tasks) - Counter(before.tasks)).items()]
        for what, tolerance in (("threads", POOL_THREADS), ("descriptors", 0), ("sockets", 0)):
            if (count := getattr(self, what) - getattr(before, what)) > tolerance:
                more.append(f"{count} {what}")
        return more


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """`before`: after a first round of people has come and gone; `after`: after the last."""

    seconds: float
    joins: int
    drops: int
    words: int
    private: tuple[tuple[float, float], ...]
    """(seconds since the beginning, MiB that the two processes alone hold)."""
    before: Held
    after: Held
    open_connections: int


def leftovers(soaked: Soaked) -> list[str]:
    """Of people who have left: tasks, threads, descriptors, sockets, engine connections; nothing is well."""
    left = soaked.after.beyond(soaked.before)
    if soaked.open_connections:
        left.append(f"{soaked.open_connections} engine connections")
    return left


def growth_mb_an_hour(soaked: Soaked) -> Estimate:
    """The slope of memory, once the first part is over."""
    since = WARM_UP_SHARE * soaked.seconds
    return statistics.slope([(at / 3600, mib * 2**20 / 1e6) for at, mib in soaked.private if at >= since])


async def soak(
    directory: Path,
    *,
    seconds: float,
    joins: int,
    drop_every_s: float = 60.0,
    seats: int = SEATS,
    leaks: bool = False,
) -> Soaked:
    """One room of the real worker; LiveKit, the scripted engine and the backend are the soak's own.

    `leaks`: each pipeline leaves a task behind, which must show.
    """
    inside = directory / "inside"
    inside.mkdir(parents=True)
    settings = {
        "BENCH_INSIDE": str(inside),
        "BENCH_LEAK": "1" if leaks else "",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT, INSIDE))),
    }
    async with (
        Lab(directory) as lab,
        lab.contestants(OURS, **settings) as contestants,
    ):
        ours = contestants[OURS]
        assert isinstance(ours, Ours)
        room = await Meeting.opened(lab, people=0, contestants=[ours])
        people = People(room)
        await people.come_and_go(joins=2 * seats, seats=seats, seconds=0)
        watched = Watched(main=ours.pid, job=_job_of(ours), inside=inside)
        before = await watched.settled(None)
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(watched.sample(began), name="sample"),
                tasks.create_task(people.drop_engine(every_s=drop_every_s), name="drop"),
            ]
            await people.come_and_go(joins=joins, seats=seats, seconds=seconds)
            for task in others:
                task.cancel()
        took_s = time.monotonic() - began
        after = await watched.settled(before)
        seen = await lab.engines.seen(OURS)
        await room.closed([ours])
    return Soaked(
        seconds=took_s,
        joins=joins,
        drops=people.drops,
        words=seen.labels[OURS].words,
        private=tuple(watched.private),
        before=before,
        after=after,
        open_connections=seen.labels[OURS].open,
    )


class People:
    """Who comes and goes."""

    def __init__(self, room: Meeting) -> None:
        self._room, self._lab = room, room.lab
        self._numbers = itertools.count(1)
        self.drops = 0

    async def come_and_go(self, *, joins: int, seats: int, seconds: float) -> None:
        """So many visits, spread over so many seconds; no more at once than there are seats."""
        began, free = time.monotonic(), asyncio.Semaphore(seats)
        async with asyncio.TaskGroup() as visits:
            for number in range(joins):
                await asyncio.sleep(began + seconds * number / joins - time.monotonic())
                await free.acquire()
                visits.create_task(self._visit(free), name="visit")
                if number % 100 == 99:
                    tell(f"  soak: {number + 1} of {joins} have come")

    async def drop_engine(self, *, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self._lab.engines.drop(OURS)
            self.drops += 1

    async def _visit(self, free: asyncio.Semaphore) -> None:
        number = next(self._numbers)
        identity = f"{self._room.room}-visitor-{number}"
        try:
            await self._lab.crowd.ask(
                "visit",
                url=self._lab.livekit.url,
                identity=identity,
                token=self._lab.livekit.token(self._room.room, identity),
                seed=number,
                pause_s=1.0,
                most_s=SAYS_S,
            )
        finally:
            free.release()


class Watched:
    """The two processes whose memory and holdings are looked at."""

    def __init__(self, *, main: int, job: int, inside: Path) -> None:
        self._pids, self._job, self._told_at = (main, job), job, inside / f"{job}.json"
        self.private: list[tuple[float, float]] = []

    async def sample(self, began: float) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            mib = await asyncio.to_thread(usage.private_mib, self._pids)
            self.private.append((time.monotonic() - began, mib))

    async def settled(self, before: Held | None) -> Held:
        """When two looks agree, or nothing is more than before; else what is held after the wait."""
        deadline, last = time.monotonic() + SETTLES_WITHIN_S, await self._held()
        while time.monotonic() < deadline:
            await asyncio.sleep(2.0)
            now = await self._held()
            if (before is None and now == last) or (before is not None and not now.beyond(before)):
                return now
            last = now
        return last

    async def _held(self) -> Held:
        processes = [psutil.Process(pid) for pid in self._pids]
        return Held(
            tasks=tuple(await self._tasks()),
            threads=sum(process.num_threads() for process in processes),
            descriptors=sum(process.num_fds() for process in processes),
            sockets=sum(len(process.net_connections("all")) for process in processes),
        )

    async def _tasks(self) -> list[str]:
        self._told_at.unlink(missing_ok=True)
        if not _catches(self._job, signal.SIGUSR2):
            raise RuntimeError("the job does not tell what it holds")
        os.kill(self._job, signal.SIGUSR2)
        async with asyncio.timeout(TOLD_WITHIN_S):
            while not self._told_at.exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        return list(json.loads(self._told_at.read_text())["tasks"])


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for it; without one it would end."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE):
            return bool(int(found[1], 16) >> (number - 1) & 1)
    return False


def _job_of(ours: Ours) -> int:
    """The process that has the room."""
    if found := re.search(r"pipeline started .*?\bpid=(\d+)", ours.worker.log()):
        return int(found[1])
    raise RuntimeError("no job has begun to listen")
