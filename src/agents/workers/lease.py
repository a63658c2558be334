"""A job's side of its lease: says how it does every second, and does as it is told."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from agents.rooms.takeover import Takeover
from agents.runtime.channel import Instruction, WorkerLine
from agents.runtime.counts import JobCounts
from agents.runtime.roster import Tick
from agents.sinks.fence import Fence
from contract.engines import SessionEngines
from contract.names import HEARTBEAT_INTERVAL_S
from contract.workers import JobCommand, JobReport, Order

FENCE_BEAT_S = 0.25

logger = logging.getLogger(__name__)


class Lease:
    """Events for the job to wait for, and the fence for its sinks."""

    def __init__(
        self,
        *,
        line: WorkerLine,
        report: Callable[[], JobReport],
        counts: Callable[[], JobCounts] = JobCounts,
        on_language: Callable[[], None],
        on_engines: Callable[[SessionEngines], None],
        on_command: Callable[[JobCommand], None] = lambda _: None,
    ) -> None:
        """`on_command` is told of each that is not to leave, for what it says of wishes and the transcript."""
        self._line, self._report, self._on_language = line, report, on_language
        self._counts, self._on_engines, self._on_command = counts, on_engines, on_command
        self.fence = Fence(now=time.monotonic())
        self.language = line.claim.language
        self.takeover = Takeover()
        self.is_over, self.is_to_finish = asyncio.Event(), asyncio.Event()
        self._has_news = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._obey(), name="instructions")
            tasks.create_task(self._beat(), name="fence")
            await self._tell()

    def news(self) -> None:
        """The next report should not wait."""
        self._has_news.set()

    def tell_once(self) -> None:
        """One report, now."""
        number = self.fence.next_report(now=time.monotonic())
        self._line.report(Tick(number=number, report=self._report(), counts=self._counts()))

    async def _tell(self) -> None:
        while True:
            self._has_news.clear()
            self.tell_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_INTERVAL_S):
                    await self._has_news.wait()

    async def _obey(self) -> None:
        async for instruction in self._line.instructions():
            self._follow(instruction)
        logger.warning("the worker has gone")
        self.is_over.set()

    def _follow(self, instruction: Instruction) -> None:
        if instruction.finish:
            self.is_to_finish.set()
        if instruction.engines is not None:
            self._on_engines(instruction.engines)
        command = instruction.command
        if command is None:
            return
        if command.order is Order.LEAVE:
            self.is_over.set()  # the fence stays as it is: what viewers were shown may still get its final
            return
        if command.language != self.language:
            self.language = command.language
            self._on_language()
        self._on_command(command)
        if command.order is Order.FINISH:
            self.is_to_finish.set()
        elif command.order is Order.SPEAK or command.heard_until is not None:
            self.takeover.begin(command.heard_until or ())
        if command.order is not Order.WAIT:
            self.fence.told_to_speak(report=instruction.number, now=time.monotonic())

    async def _beat(self) -> None:
        while True:
            self.fence.beat(now=time.monotonic())
            await asyncio.sleep(FENCE_BEAT_S)
