"""A contestant's worker: `python -m tools.bench.worker reference|floor`; settings from the environment.

What surrounds a job is the same for all contestants: livekit-agents' server, a process for each room, one of them
kept warm.
"""

import asyncio
import functools
import importlib
import math
import os
import signal
import sys

from livekit.agents import AgentServer, JobRequest
from livekit.agents.worker import WorkerPermissions

JOBS = {"reference": "tools.bench.reference_job", "floor": "tools.bench.floor_job"}


async def accept(request: JobRequest, *, name: str) -> None:
    await request.accept(identity=f"{name}-{request.room.name}")


def server(name: str) -> AgentServer:
    job = importlib.import_module(JOBS[name])
    agents = AgentServer(
        host="127.0.0.1",
        port=0,
        load_threshold=math.inf,
        load_fnc=lambda: 0.0,
        num_idle_processes=1,
        permissions=WorkerPermissions(
            can_publish=False,
            can_subscribe=True,
            can_publish_data=True,
            can_update_metadata=False,
            hidden=True,
        ),
        setup_fnc=job.prepare_process,
        preload_modules=[job.__name__],
    )
    agents.rtc_session(
        job.transcribe_room,
        agent_name=os.environ["BENCH_AGENT_NAME"],
        on_request=functools.partial(accept, name=name),
    )
    return agents


async def serve(name: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    agents = server(name)
    agents.on("worker_registered", lambda *_: print("worker registered", file=sys.stderr, flush=True))
    serving = asyncio.create_task(agents.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
