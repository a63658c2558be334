"""Hands finals in at the backend: those that jobs tell of at once, and those that anybody has left in the spool.

One task for each lease that has any, so that none waits for another's; a few at a time have the backend's attention.
A file is removed once the backend has answered for it. Two couriers at one directory at worst hand in the same final
twice, which the backend knows.
"""

import asyncio
import contextlib
import heapq
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from agents.backend_api import BackendApi
from agents.runtime.channel import Word
from agents.runtime.errors import BackendLost, SegmentsRefused, SessionUnknown
from agents.runtime.roster import JobKey
from agents.sinks.spool import Spool, SpoolFile
from contract.errors import ContractError
from contract.segments import Segment
from contract.transcripts import MAX_BATCH_SEGMENTS

AT_ONCE = 4
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 5.0
LOOK_EVERY_S = 3.0
OTHERS_AFTER_S = 10.0
"""A file of another worker's: by then it should have been handed in. Who is about to end does not wait: where each
machine has a spool of its own, nobody else may ever look there for what a killed worker has left."""
SET_ASIDE_S = 60.0
"""A file that cannot be read, or not be removed, is tried again then."""
UNFINISHED_AFTER_S = 600.0
UNWRITTEN_LIMIT = 2_000
"""Of one lease, in memory."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the spool may hold; the oldest go first."""

    files: int = 100_000
    size_bytes: int = 256 * 1024 * 1024
    age_s: float = 7 * 24 * 3600.0


class _Round:
    """What is to be handed in of one lease, the oldest first: by name, which begins with when it was written."""

    def __init__(self) -> None:
        self.finals: dict[str, Segment | None] = {}
        """None: it is in a file of that name."""
        self._waiting: list[str] = []
        self._unwritten = 0

    def add(self, name: str, segment: Segment | None = None) -> bool:
        """False: there are too many of those that are in no file."""
        if name in self.finals:
            return True
        if segment is not None and self._unwritten >= UNWRITTEN_LIMIT:
            return False
        self._unwritten += segment is not None
        self.finals[name] = segment
        heapq.heappush(self._waiting, name)
        return True

    def take(self) -> list[str]:
        """A batch; each of it is to be put back or done with."""
        return [heapq.heappop(self._waiting) for _ in range(min(MAX_BATCH_SEGMENTS, len(self._waiting)))]

    def put_back(self, names: Sequence[str]) -> None:
        """To be taken again."""
        for name in names:
            heapq.heappush(self._waiting, name)

    def done(self, names: Sequence[str]) -> None:
        """No more of these."""
        for name in names:
            self._unwritten -= self.finals.pop(name) is not None


class Courier:
    """Until `run` is cancelled; what is left then stays in the spool."""

    def __init__(
        self,
        *,
        backend: BackendApi,
        spool: Spool,
        writer: str,
        bounds: Bounds = Bounds(),
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`writer` is in the names of the files of this worker's jobs."""
        self._backend, self._spool, self._writer = backend, spool, writer
        self._bounds, self._now_ms = bounds, now_ms
        self._rounds: dict[JobKey, _Round] = {}
        self._set_aside: dict[str, int] = {}
        """Until when (UTC epoch ms)."""
        self._thread = ThreadPoolExecutor(max_workers=2, thread_name_prefix="spool")
        self._attention = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._is_hurried, self._is_idle = asyncio.Event(), asyncio.Event()
        self._is_idle.set()
        self._unwritten_count = 0
        self._has_trouble = False
        self.outcomes: Counter[str] = Counter()
        """Finals `stored`, `known`, `refused`, as the backend answered, and `dropped`: lost to the transcript."""

    def take(self, key: JobKey, word: Word) -> None:
        """A job has written finals, or could not."""
        for name in word.written:
            self._add(key, name)
        for segment in word.unwritten:
            self._unwritten_count += 1
            self._add(key, f"{self._now_ms():013d} {self._unwritten_count:012d}", segment)

    async def run(self) -> None:
        """Until cancelled."""
        await self._spool_does(self._spool.prepare)
        async with asyncio.TaskGroup() as self._tasks:
            for key in self._rounds:
                self._begin(key)
            while True:
                await self._look()
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self, *, within_s: float) -> None:
        """The worker is about to end: until all is handed in, or for so long."""
        self._is_hurried.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._look()
                await self._is_idle.wait()

    @property
    def waiting(self) -> int:
        """Finals that are to be handed in."""
        return sum(len(of_lease.finals) for of_lease in self._rounds.values())

    @property
    def oldest_waiting_s(self) -> float:
        """0: nothing waits."""
        names = (min(of_lease.finals) for of_lease in self._rounds.values() if of_lease.finals)
        if (oldest := min(names, default=None)) is None:
            return 0.0
        return max(0, self._now_ms() - int(oldest[:13])) / 1000

    def _add(self, key: JobKey, name: str, segment: Segment | None = None) -> None:
        is_new = key not in self._rounds
        if not self._rounds.setdefault(key, _Round()).add(name, segment):
            self._drop(1, why="too many wait in memory")
        self._is_idle.clear()
        if is_new and self._tasks is not None:
            self._begin(key)

    def _begin(self, key: JobKey) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._deliver(key), name="finals of a lease")

    async def _deliver(self, key: JobKey) -> None:
        """All there is of one lease, and what comes meanwhile."""
        of_lease, failures = self._rounds[key], 0
        while names := of_lease.take():
            try:
                await self._hand_in_files(key, names, of_lease)
                failures = 0
            except BackendLost:
                of_lease.put_back(names)
                failures += 1
                await self._pause(failures)
            else:
                of_lease.done(names)
        del self._rounds[key]
        if not self._rounds:
            self._is_idle.set()

    async def _hand_in_files(self, key: JobKey, names: list[str], of_lease: _Round) -> None:
        """Raises BackendLost."""
        files = [name for name in names if of_lease.finals[name] is None]
        read, unreadable = await self._in_thread(lambda: self._read(files))
        unwritten = (of_lease.finals[name] for name in names)
        segments = (*read, *(segment for segment in unwritten if segment is not None))
        if segments:
            await self._hand_in(key, segments)
        if unreadable:
            self._drop(len(unreadable), why="a file of the spool is no final")
        await self._in_thread(lambda: self._remove(files))

    async def _hand_in(self, key: JobKey, segments: tuple[Segment, ...]) -> None:
        """Raises BackendLost. Of a batch that is refused, halves are tried: one final is not to take others with it."""
        try:
            async with self._attention:
                answer = await self._backend.segments(
                    session=key.session, generation=key.generation, segments=segments
                )
        except SessionUnknown:
            self._drop(len(segments), why="the backend does not know the session")
        except SegmentsRefused:
            if (half := len(segments) // 2) == 0:
                self._drop(1, why="the backend does not take it")
                return
            await self._hand_in(key, segments[:half])
            await self._hand_in(key, segments[half:])
        else:
            self.outcomes.update(stored=answer.stored, known=answer.known, refused=answer.refused)

    async def _pause(self, failures: int) -> None:
        if self._is_hurried.is_set():
            await asyncio.sleep(RETRY_FIRST_S)
            return
        longest = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest * random.uniform(0.5, 1.0)):
                await self._is_hurried.wait()

    async def _look(self) -> None:
        """What is there that nobody has told of."""
        found = await self._spool_does(self._spool.files) or []
        now_ms = self._now_ms()
        self._set_aside = {name: until for name, until in self._set_aside.items() if until > now_ms}
        kept, gone = _within(found, self._bounds, now_ms=now_ms)
        removed = await self._in_thread(lambda: self._remove([file.name for file in gone]))
        if lost := sum(file.is_whole and file.name in removed for file in gone):
            self._drop(lost, why="the spool is full, or it is too old")
        for file in kept:
            is_left = now_ms - file.written_ms >= OTHERS_AFTER_S * 1000 or self._is_hurried.is_set()
            is_due = file.writer == self._writer or is_left
            if file.is_whole and is_due and file.name not in self._set_aside:
                self._add(JobKey(session=file.session, generation=file.generation), file.name)

    def _read(self, names: Sequence[str]) -> tuple[list[Segment], list[str]]:
        """In a thread: finals, and the names of files that hold none."""
        segments, unreadable = [], []
        for name in names:
            try:
                segments.append(self._spool.read(name))
            except FileNotFoundError:
                continue  # somebody else has handed it in
            except ContractError:
                unreadable.append(name)
            except OSError:
                self._put_aside(name)
        return segments, unreadable

    def _remove(self, names: Sequence[str]) -> set[str]:
        """In a thread: those that were there and could be."""
        removed = set()
        for name in names:
            if name not in self._set_aside:
                try:
                    removed |= {name} if self._spool.remove(name) else set()
                except OSError:
                    self._put_aside(name)
        return removed

    def _put_aside(self, name: str) -> None:
        self._set_aside[name] = self._now_ms() + round(SET_ASIDE_S * 1000)

    def _drop(self, count: int, *, why: str) -> None:
        self.outcomes["dropped"] += count
        logger.error("finals are lost to the transcript", extra={"count": count, "why": why})

    async def _spool_does(self, it: Callable[[], T]) -> T | None:
        """None: it cannot be done, which is said once."""
        try:
            done = await self._in_thread(it)
        except OSError as error:
            if not self._has_trouble:
                logger.error(
                    "TRANSCRIPT_SPOOL_DIR cannot be used: finals are kept in memory",
                    extra={"error": type(error).__name__},
                )
            self._has_trouble = True
            return None
        self._has_trouble = False
        return done

    async def _in_thread(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)


def _within(
    files: Sequence[SpoolFile], bounds: Bounds, *, now_ms: int
) -> tuple[list[SpoolFile], list[SpoolFile]]:
    """What may stay, and what has to go; `files` are the oldest first."""
    kept: list[SpoolFile] = []
    gone: list[SpoolFile] = []
    size_bytes = 0
    for file in reversed(files):
        size_bytes += file.size_bytes
        age_s = (now_ms - file.written_ms) / 1000
        is_within = len(kept) < bounds.files and size_bytes <= bounds.size_bytes
        is_left = not file.is_whole and age_s > UNFINISHED_AFTER_S
        (kept if is_within and age_s <= bounds.age_s and not is_left else gone).append(file)
    return kept, gone
