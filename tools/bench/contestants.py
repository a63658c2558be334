"""The contestants as processes: each joins and leaves rooms when told, and is measured as one tree."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import psutil
from livekit import api

from contract.workers import Order
from tests.support.backend_double import SECRET, BackendDouble, Lease
from tests.support.livekit import ROOT, LiveKitServer
from tools.bench import usage
from tools.bench.captions import FLOOR, OURS, REFERENCE
from tools.bench.surroundings import environment

STARTS_WITHIN_S = 60.0
JOINS_WITHIN_S = 30.0
ENDS_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
FLOOR_EVERY_S = 0.65
"""As often as ours sends a caption for somebody who talks: 1.55 a second, measured; both stand beside the result."""


class Contestant(Protocol):
    name: str

    @property
    def pid(self) -> int: ...

    async def join(self, room: str) -> None:
        """Until its agent is in the room."""

    async def leave(self, room: str) -> None:
        """Until its agent is no longer there."""


class WorkerProcess:
    """A worker and all it starts; `with` it."""

    def __init__(self, name: str, command: list[str], *, log: Path, **settings: str) -> None:
        self.name, self._command, self.log_path = name, command, log
        self._environment = environment(**settings)

    def __enter__(self) -> "WorkerProcess":
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", *self._command],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while "worker registered" not in self.log():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{self.name} did not start: {self.log()[-2000:]}")
            time.sleep(LOOK_EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        family = usage.tree(self.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDS_WITHIN_S)
        for pid in family:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def processes(self) -> list[psutil.Process]:
        found = []
        for pid in usage.tree(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found


class Ours:
    """The real worker; its backend is the tests' double, in this process."""

    name = OURS

    def __init__(
        self,
        directory: Path,
        *,
        livekit: LiveKitServer,
        backend: BackendDouble,
        engine: str,
        label: str = OURS,
        **engine_settings: str,
    ) -> None:
        self._livekit, self._backend, self._engine = livekit, backend, engine
        self._agent_name = f"bench-{label}"
        self._leases: dict[str, Lease] = {}
        self.worker = WorkerProcess(
            label,
            ["-m", "agents.workers.transcriber"],
            log=directory / f"{label}.log",
            DJANGO_ENV="production",
            LIVEKIT_URL=livekit.url,
            LIVEKIT_API_KEY=livekit.api_key,
            LIVEKIT_API_SECRET=livekit.api_secret,
            INTERNAL_API_SECRET=SECRET,
            BACKEND_URL=backend.url,
            WORKER_NAME=label,
            SUBTITLES_CAPACITY="500",
            ROOM_SUBTITLE_AGENT_NAME=self._agent_name,
            **engine_settings,
        )

    @property
    def pid(self) -> int:
        return self.worker.pid

    async def join(self, room: str) -> None:
        lease = self._backend.lease(room, engine=self._engine)
        self._leases[room] = lease
        await self._backend.dispatch(self._livekit, lease, agent_name=self._agent_name)
        await self._backend.report(lease, state="live", timeout_s=JOINS_WITHIN_S)

    async def leave(self, room: str) -> None:
        lease = self._leases.pop(room)
        lease.order = Order.LEAVE
        await self._backend.report(lease, lost=True, timeout_s=JOINS_WITHIN_S)


class Framework:
    """A worker of the bench's own on livekit-agents: the reference or the floor."""

    def __init__(self, name: str, directory: Path, *, livekit: LiveKitServer, **settings: str) -> None:
        self.name, self._livekit = name, livekit
        self._agent_name = f"bench-{name}"
        self.worker = WorkerProcess(
            name,
            ["-m", "tools.bench.worker", name],
            log=directory / f"{name}.log",
            LIVEKIT_URL=livekit.url,
            LIVEKIT_API_KEY=livekit.api_key,
            LIVEKIT_API_SECRET=livekit.api_secret,
            BENCH_AGENT_NAME=self._agent_name,
            **settings,
        )

    @property
    def pid(self) -> int:
        return self.worker.pid

    async def join(self, room: str) -> None:
        async with self._livekit.api() as livekit:
            await livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(agent_name=self._agent_name, room=room)
            )
            await self._until(livekit, room, is_there=True)

    async def leave(self, room: str) -> None:
        async with self._livekit.api() as livekit:
            await livekit.room.remove_participant(
                api.RoomParticipantIdentity(room=room, identity=f"{self.name}-{room}")
            )
            await self._until(livekit, room, is_there=False)

    async def _until(self, livekit: api.LiveKitAPI, room: str, *, is_there: bool) -> None:
        async with asyncio.timeout(JOINS_WITHIN_S):
            while True:
                answer = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
                found = any(
                    p.identity == f"{self.name}-{room}" and p.state == api.ParticipantInfo.State.ACTIVE
                    for p in answer.participants
                )
                if found is is_there:
                    return
                await asyncio.sleep(LOOK_EVERY_S)


def reference(directory: Path, *, livekit: LiveKitServer, base_url: str, api_key: str) -> Framework:
    return Framework(
        REFERENCE, directory, livekit=livekit, BENCH_STT_BASE_URL=base_url, BENCH_STT_API_KEY=api_key
    )


def floor(directory: Path, *, livekit: LiveKitServer, every_s: float = FLOOR_EVERY_S) -> Framework:
    return Framework(FLOOR, directory, livekit=livekit, BENCH_FLOOR_EVERY_S=str(every_s))
