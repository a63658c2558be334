"""One heartbeat a second to the backend, with the reports of all jobs; at once when there is news."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from agents.backend_api import BackendApi
from agents.runtime.channel import Instruction, JobsDesk
from agents.runtime.errors import BackendLost
from agents.runtime.roster import Roster, Tick, key_of
from contract.names import HEARTBEAT_INTERVAL_S
from contract.status import State
from contract.workers import HeartbeatAnswer, JobCommand, Order, WorkerHeartbeat

COALESCE_S = 0.05
"""News that comes together goes together."""
HURRIED_INTERVAL_S = 0.2
"""While a job joins, or a room is handed over, by us or to us: people wait for the next order."""

logger = logging.getLogger(__name__)


class Heartbeat:
    """What the backend is told, and what it answers."""

    def __init__(
        self,
        *,
        backend: BackendApi,
        roster: Roster,
        capacity: int,
        engines: tuple[str, ...],
        clock: Callable[[], float],
        on_beat: Callable[[bool], None] = lambda _: None,
        on_commands: Callable[[tuple[JobCommand, ...]], None] = lambda _: None,
        on_engine_tests: Callable[[tuple[str, ...]], None] = lambda _: None,
    ) -> None:
        self._backend, self._roster, self._clock = backend, roster, clock
        self._capacity, self._engines = capacity, engines
        self._on_beat, self._on_commands = on_beat, on_commands
        self._on_engine_tests = on_engine_tests
        self._has_news = asyncio.Event()
        self._reaches_backend: bool | None = None
        self._unanswered_since: float | None = None
        self._is_hurried = False
        self.draining = False
        self.load = 0.0
        """Read by livekit-agents from another thread."""

    def news(self) -> None:
        """Something should not wait for the next beat."""
        self._has_news.set()

    async def run(self, desk: JobsDesk) -> None:
        """Until cancelled."""
        while True:
            await self.beat(desk)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HURRIED_INTERVAL_S if self._is_hurried else HEARTBEAT_INTERVAL_S):
                    await self._has_news.wait()
                    await asyncio.sleep(COALESCE_S)

    async def beat(self, desk: JobsDesk) -> None:
        """One heartbeat, and its answer to the jobs."""
        self._has_news.clear()
        ticks = self._roster.reports(now=self._clock())
        self.load = self._roster.load(capacity=self._capacity, now=self._clock())
        heartbeat = WorkerHeartbeat(
            capacity=self._capacity,
            draining=self.draining,
            engines=self._engines,
            jobs=tuple(tick.report for tick in ticks),
        )
        try:
            answer = await self._backend.heartbeat(heartbeat)
        except BackendLost:
            self._note_reach(reaches=False)
            return
        self._note_reach(reaches=True)
        self._is_hurried = (
            self.draining
            or any(job.order is Order.WAIT for job in answer.jobs)
            or any(job.state is State.JOINING for job in heartbeat.jobs)
        )
        self._roster.answered(ticks)
        _relay(answer, ticks, desk)
        self._on_commands(answer.jobs)
        self._on_engine_tests(answer.engine_tests)

    @property
    def unanswered_s(self) -> float:
        """For how long the backend has not answered."""
        return 0.0 if self._unanswered_since is None else self._clock() - self._unanswered_since

    def _note_reach(self, *, reaches: bool) -> None:
        self._on_beat(reaches)
        if reaches:
            self._unanswered_since = None
        elif self._unanswered_since is None:
            self._unanswered_since = self._clock()
        if reaches is not self._reaches_backend:
            self._reaches_backend = reaches
            if reaches:
                logger.info("the backend answers heartbeats")
            else:
                logger.warning("the backend does not answer heartbeats")


def _relay(answer: HeartbeatAnswer, ticks: tuple[Tick, ...], desk: JobsDesk) -> None:
    numbers = {key_of(tick.report): tick.number for tick in ticks}
    for command in answer.jobs:
        key = key_of(command)
        if key in numbers:
            desk.tell(Instruction(number=numbers[key], command=command), key=key)
