"""One engine test, in a process of its own: `python -m agents.workers.engine_test`.

What it is to do comes from the worker on standard input, with the key; its EngineTestOutcome goes to standard output
as JSON. So what a plugin holds is given back when the test is over, and what it blocks is not the worker.
"""

import asyncio
import logging
import pickle
import signal
import sys
import time

from contract import shapes
from contract.engines import EngineTestOutcome, EngineTestResult

TRIED_WITHIN_S = 11.5
"""Of the process' life: the imports, which may take long on a busy machine, and the trial."""
LEAST_TRIAL_S = 6.0
"""With less an engine would be called silent that is only given no time."""
ENDS_WITHIN_S = 15
"""By the kernel, should a plugin hold the process and no worker be left to end it."""


def main() -> None:
    """Exit code 0, whatever came of the test."""
    ends_at = time.monotonic() + TRIED_WITHIN_S
    signal.alarm(ENDS_WITHIN_S)
    logging.disable()  # an engine's plugin may log what it was sent, and nobody reads it here
    outcome = asyncio.run(_tried(sys.stdin.buffer.read(), ends_at=ends_at))
    sys.stdout.write(f"\n{shapes.to_json(outcome)}\n")


async def _tried(pickled: bytes, *, ends_at: float) -> EngineTestOutcome:
    # Imported here, and by the unpickling, because the time it takes counts.
    from agents.stt.trial import try_engine

    task, defaults, rules = pickle.loads(pickled)
    within_s = ends_at - time.monotonic()
    if within_s < LEAST_TRIAL_S:
        return EngineTestOutcome(result=EngineTestResult.NOT_TRIED)
    return await try_engine(
        task.setup, language=task.language, defaults=defaults, rules=rules, within_s=within_s
    )


if __name__ == "__main__":
    main()
