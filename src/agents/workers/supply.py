"""Where jobs' engines come from: the backend, at the claim and whenever there are others. Held in memory alone."""

import asyncio
import logging
from collections.abc import Callable

from agents.backend_api import BackendApi
from agents.runtime.channel import Instruction, JobsDesk
from agents.runtime.errors import TheirFault
from agents.runtime.roster import JobKey, Roster, key_of
from contract.engines import EnginesCause, EngineSetup, SessionEngines
from contract.workers import ClaimAnswer, JobCommand

logger = logging.getLogger(__name__)


class Supply:
    """Asks for each job at most once at a time."""

    def __init__(
        self, *, backend: BackendApi, roster: Roster, desk: JobsDesk, clock: Callable[[], float]
    ) -> None:
        self._backend, self._roster, self._desk, self._clock = backend, roster, desk, clock
        self._due: asyncio.Queue[tuple[JobKey, EnginesCause]] = asyncio.Queue()
        """Holds a job once at most."""

    async def for_claim(self, claim: ClaimAnswer) -> SessionEngines:
        """What a job starts with. Raises ClaimStale, AtCapacity, BackendLost."""
        return await self._asked(key_of(claim), EnginesCause.START) or _named_by(claim)

    def heard(self, commands: tuple[JobCommand, ...]) -> None:
        """The answer to a heartbeat tells which engines each job should have."""
        for command in commands:
            if cause := self._roster.engines_due(command, now=self._clock()):
                self._due.put_nowait((key_of(command), cause))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                key, cause = await self._due.get()
                asking.create_task(self._equip(key, cause), name="engines of a job")

    async def _equip(self, key: JobKey, cause: EnginesCause) -> None:
        engines = None
        try:
            engines = await self._asked(key, cause)
        except TheirFault as error:
            logger.warning("a job's engines could not be had", extra={"error": type(error).__name__})
        if self._roster.equipped(key, engines):
            logger.info("a job has other engines", extra={"cause": str(cause)})
            self._desk.tell(Instruction(number=0, engines=engines), key=key)

    async def _asked(self, key: JobKey, cause: EnginesCause) -> SessionEngines | None:
        return await self._backend.engines(session=key.session, generation=key.generation, cause=cause)


def _named_by(claim: ClaimAnswer) -> SessionEngines:
    """By a backend that knows no keys: all else is in the worker's environment."""
    return SessionEngines(
        session=claim.session,
        generation=claim.generation,
        revision=0,
        chain=tuple(EngineSetup(engine=name) for name in (claim.engine, *claim.fallback)),
    )
