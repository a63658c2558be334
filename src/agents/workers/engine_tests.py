"""The worker's part in "Test this key": takes a test that the backend offers, has it run, says what came of it."""

import asyncio
import logging
import pickle
import sys

from agents.backend_api import BackendApi
from agents.runtime.errors import BackendLost
from agents.stt.dialing import DialingRules
from agents.stt.registry import EngineDefaults
from contract import shapes
from contract.engines import EngineTestOutcome, EngineTestResult, EngineTestTask
from contract.errors import ContractError

RUNS_WITHIN_S = 13.0
"""The test's own end comes before; this is for a plugin that blocks its process, or a machine without time for it."""
COMMAND = (sys.executable, "-m", "agents.workers.engine_test")

logger = logging.getLogger(__name__)


class EngineTests:
    """One at a time; what is offered meanwhile is offered again, to us or to another worker."""

    def __init__(self, *, backend: BackendApi, defaults: EngineDefaults, rules: DialingRules) -> None:
        self._backend, self._defaults, self._rules = backend, defaults, rules
        self._offered: tuple[str, ...] = ()
        self._has_offer = asyncio.Event()

    def offered(self, tests: tuple[str, ...]) -> None:
        """By the answer to a heartbeat."""
        self._offered = tests
        if tests:
            self._has_offer.set()

    async def run(self) -> None:
        """Until cancelled; no process is left then."""
        while True:
            await self._has_offer.wait()
            self._has_offer.clear()
            for test in self._offered:
                try:
                    if task := await self._backend.take_engine_test(test):
                        await self._do(task)
                        break  # the other offers are old by now
                except BackendLost:
                    logger.warning("the backend was lost in an engine test")

    async def _do(self, task: EngineTestTask) -> None:
        outcome = await run_test(task, defaults=self._defaults, rules=self._rules, within_s=RUNS_WITHIN_S)
        logger.info("engine tested", extra={"engine": task.setup.engine, "result": str(outcome.result)})
        await self._backend.engine_tested(task.test, outcome)


async def run_test(
    task: EngineTestTask, *, defaults: EngineDefaults, rules: DialingRules, within_s: float
) -> EngineTestOutcome:
    """In a process that has ended when this returns, also when it is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the worker's to hear, which ends this when it drains
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate(pickle.dumps((task, defaults, rules)))
    except TimeoutError:
        return EngineTestOutcome(result=EngineTestResult.NOT_TRIED)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return shapes.from_json(EngineTestOutcome, said.splitlines()[-1] if said else None)
    except ContractError:
        logger.warning("an engine test ended without an outcome", extra={"code": process.returncode})
        return EngineTestOutcome(result=EngineTestResult.NOT_TRIED)
