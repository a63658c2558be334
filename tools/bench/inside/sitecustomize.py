"""What a worker's processes hold, told on SIGUSR2: the soak's look inside, without a hook in the product.

On PYTHONPATH for the measured worker alone. A signal makes the process write the tasks of its event loops, by the
name of their coroutine, to `$BENCH_INSIDE/<pid>.json`. With BENCH_LEAK each pipeline leaves a task behind: a defect
that must show.
"""

import json
import os
import signal
import sys
from typing import Any


def _tell(*_: object) -> None:
    asyncio = sys.modules.get("asyncio")
    tasks = list(asyncio.tasks._all_tasks) if asyncio else []
    names = sorted(task.get_coro().__qualname__ for task in tasks if not task.done())
    path = os.path.join(os.environ["BENCH_INSIDE"], f"{os.getpid()}.json")
    with open(f"{path}.new", "w") as file:
        json.dump({"tasks": names}, file)
    os.replace(f"{path}.new", path)


def _leak() -> None:
    import asyncio

    create_task = asyncio.TaskGroup.create_task

    async def left_behind() -> None:
        await asyncio.sleep(1_000_000)

    def creating(self: asyncio.TaskGroup, coroutine: Any, *, name: str | None = None, **more: Any) -> Any:
        if name == "participant pipeline":
            asyncio.get_running_loop().create_task(left_behind())
        return create_task(self, coroutine, name=name, **more)

    asyncio.TaskGroup.create_task = creating  # type: ignore[method-assign]


if os.environ.get("BENCH_INSIDE"):
    signal.signal(signal.SIGUSR2, _tell)
    if os.environ.get("BENCH_LEAK"):
        _leak()
