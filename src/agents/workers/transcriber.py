"""The subtitles worker's main process: `python -m agents.workers.transcriber`.

livekit-agents takes jobs from LiveKit and keeps a process for each; we claim their leases, beat for them, and
see to it that everything has ended when this process has.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import math
import multiprocessing
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from livekit.agents import AgentServer, AssignmentTimeoutError, JobRequest
from livekit.agents.worker import WorkerPermissions

from agents.backend_api import BackendApi
from agents.runtime.channel import JobsDesk
from agents.runtime.errors import AtCapacity, BackendLost, ClaimStale, SettingsError, TheirFault
from agents.runtime.logs import configure_logs
from agents.runtime.metrics import WorkerMetrics, served
from agents.runtime.roster import Assignment, JobKey, Roster, key_of
from agents.runtime.settings import Settings, read_settings, spare_memory
from agents.sinks.spool import Spool
from agents.stt.dialing import DialingRules
from agents.stt.registry import ENGINES, EngineDefaults, installed_engines
from agents.workers import transcriber_job
from agents.workers.courier import Courier
from agents.workers.engine_tests import EngineTests
from agents.workers.heartbeat import Heartbeat
from agents.workers.supply import Supply
from contract import shapes
from contract.dispatch import DispatchMetadata
from contract.errors import ContractError

IDLE_PROCESSES = 1
"""One job process is kept warm for the next start; each more would cost its memory all day."""
MAX_LIVEKIT_RETRIES = 1_000_000
"""For ever: LiveKit may be away for a night, and a worker that gives up has to be started by somebody."""
HAND_OVER_WITHIN_S = 12.0
"""How long rooms are kept for another worker to take over."""
BACKEND_AWAY_S = 0.8
"""Without the backend for so long nobody will take over."""
DRAIN_POLL_S = 0.05
JOBS_LEAVE_WITHIN_S = 9.0
IDLE_WITHIN_S = 0.5
"""livekit's drain waits for its own start, should that still be under way."""
LAST_BEAT_WITHIN_S = 0.5
LAST_FINALS_WITHIN_S = 2.0
CLOSE_WITHIN_S = 0.5
CHILDREN_END_WITHIN_S = 0.3

logger = logging.getLogger("agents.workers.transcriber")


class Worker:
    """The main process' parts, and how they end."""

    def __init__(self, *, settings: Settings, backend: BackendApi, socket_path: Path) -> None:
        self._settings, self._backend = settings, backend
        self._roster = Roster()
        spool, tag = _spool_directory(settings), secrets.token_hex(8)
        self._courier = Courier(backend=backend, spool=Spool(spool), writer=tag)
        self._registered = asyncio.Event()
        self._heartbeat = Heartbeat(
            backend=backend,
            roster=self._roster,
            capacity=settings.capacity,
            engines=installed_engines(),
            clock=time.monotonic,
            on_beat=lambda is_answered: self._metrics.note_heartbeat(is_answered=is_answered),
            on_commands=lambda commands: self._supply.heard(commands),
            on_engine_tests=lambda tests: self._engine_tests.offered(tests),
        )
        self._engine_tests = EngineTests(
            backend=backend, defaults=_engine_defaults(settings), rules=_dialing_rules(settings)
        )
        self._metrics = WorkerMetrics(
            roster=self._roster, capacity=settings.capacity, finals=self._courier, clock=time.monotonic
        )
        self._desk = JobsDesk(
            path=socket_path,
            roster=self._roster,
            clock=time.monotonic,
            on_news=self._heartbeat.news,
            on_finals=self._courier.take,
        )
        self._supply = Supply(backend=backend, roster=self._roster, desk=self._desk, clock=time.monotonic)
        self._server = _agent_server(
            settings=settings,
            socket_path=socket_path,
            spool=spool,
            worker_tag=tag,
            load=lambda: self._heartbeat.load,
            on_request=self._on_request,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until livekit-agents fails."""
        async with self._desk, self._metrics_served():
            self._server.on("worker_registered", lambda *_: self._note_registered())
            serving = asyncio.create_task(self._server.run(), name="livekit worker")
            beating = asyncio.create_task(self._beat_once_registered(), name="heartbeat")
            supplying = asyncio.create_task(self._supply.run(), name="supply")
            testing = asyncio.create_task(self._engine_tests.run(), name="engine tests")
            couriering = asyncio.create_task(self._courier.run(), name="courier")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            working: tuple[asyncio.Task[Any], ...] = (serving, beating, supplying, testing, couriering)
            try:
                await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not stop.is_set():
                    for task in working:
                        if task.done():
                            task.result()
                testing.cancel()
                await self._drain()
            finally:
                for task in (beating, supplying, testing, couriering, stopping):
                    task.cancel()
                await self._close(serving)

    def _metrics_served(self) -> contextlib.AbstractAsyncContextManager[None]:
        settings = self._settings
        return served(
            self._metrics,
            port=settings.metrics_port,
            token=settings.metrics_token,
            is_local=settings.is_local,
        )

    def _note_registered(self) -> None:
        logger.info("worker registered", extra={"worker": self._settings.worker_name})
        self._registered.set()

    async def _beat_once_registered(self) -> None:
        # Before, the backend would count on a worker that LiveKit does not know, and its dispatch would be dropped.
        await self._registered.wait()
        await self._heartbeat.run(self._desk)

    async def _on_request(self, request: JobRequest) -> None:
        """LiveKit offers a job: it is taken if the backend says that the lease is ours."""
        if self._heartbeat.draining:
            await request.reject(terminate=False)
            return
        try:
            assignment = await self._assigned(request)
        except (ContractError, ClaimStale) as error:
            self._metrics.note_claim(_outcome(error))
            logger.warning("a job was refused for good", extra={"error": type(error).__name__})
            await request.reject(terminate=True)
            return
        except TheirFault as error:
            self._metrics.note_claim(_outcome(error))
            logger.warning("a job was refused for now", extra={"error": type(error).__name__})
            await request.reject(terminate=False)
            return
        self._metrics.note_claim("granted")
        self._roster.claimed(assignment, now=time.monotonic())
        self._heartbeat.news()
        try:
            await request.accept(identity=assignment.claim.agent_identity)
        except AssignmentTimeoutError:
            logger.warning("an accepted job was not assigned")
            self._roster.gone(key_of(assignment.claim))

    async def _assigned(self, request: JobRequest) -> Assignment:
        """Raises ContractError, ClaimStale, AtCapacity, BackendLost."""
        wanted = shapes.from_json(DispatchMetadata, request.job.metadata)
        if self._roster.serves(JobKey(session=wanted.session, generation=wanted.generation)):
            raise ClaimStale("a job of this worker has the lease already")
        claim = await self._backend.claim(wanted)
        if claim.room != request.room.name:
            raise ContractError("room")  # a dispatch that names another room's lease
        return Assignment(claim=claim, engines=await self._supply.for_claim(claim))

    async def _drain(self) -> None:
        """Take no more jobs; those there are handed over, or end their open segments and leave."""
        logger.info("worker draining")
        self._heartbeat.draining = True
        self._heartbeat.news()
        draining = asyncio.create_task(self._server.drain(timeout=None), name="livekit drain")
        await self._hand_over()
        patience_s = JOBS_LEAVE_WITHIN_S if self._roster.has_jobs() else IDLE_WITHIN_S
        self._desk.finish_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await asyncio.shield(draining)
        draining.cancel()
        await self._courier.settle(within_s=LAST_FINALS_WITHIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_BEAT_WITHIN_S):
                await self._heartbeat.beat(self._desk)

    async def _hand_over(self) -> None:
        """Until the backend has ordered every job out, one after another; without it nobody would."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_WITHIN_S):
                while self._roster.has_jobs() and self._heartbeat.unanswered_s < BACKEND_AWAY_S:  # noqa: ASYNC110 - two conditions, one of them a time
                    await asyncio.sleep(DRAIN_POLL_S)

    async def _close(self, serving: asyncio.Task[None]) -> None:
        """livekit's own close waits up to 10 s and more for idle processes; ours are ended by `_end_children`."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._server.aclose()
        serving.cancel()
        await asyncio.wait({serving}, timeout=0.1)


def _outcome(error: Exception) -> str:
    known: dict[type[Exception], str] = {
        ClaimStale: "stale",
        AtCapacity: "at_capacity",
        BackendLost: "backend_lost",
    }
    return known.get(type(error), "invalid")


def _agent_server(
    *,
    settings: Settings,
    socket_path: Path,
    spool: Path,
    worker_tag: str,
    load: Callable[[], float],
    on_request: Callable[[JobRequest], Awaitable[None]],
) -> AgentServer:
    options = transcriber_job.JobOptions(
        socket_path=socket_path,
        spool=spool,
        worker_tag=worker_tag,
        engines=_engine_defaults(settings),
        rules=_dialing_rules(settings),
        backlog_segments=settings.backlog_segments,
        backlog_max_age_ms=settings.backlog_minutes * 60_000,
    )
    server = AgentServer(
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret,
        host=settings.health_host,
        port=settings.health_port,
        # The load says all: LiveKit compares it between workers, and the backend refuses the claim when full.
        load_threshold=math.inf,
        load_fnc=load,
        num_idle_processes=IDLE_PROCESSES,
        permissions=WorkerPermissions(
            can_publish=False,
            can_subscribe=True,
            can_publish_data=True,
            can_update_metadata=False,
            hidden=True,
        ),
        setup_fnc=functools.partial(transcriber_job.prepare_process, directory=socket_path.parent),
        preload_modules=[transcriber_job.__name__],
        max_retry=MAX_LIVEKIT_RETRIES,
    )
    server.rtc_session(
        functools.partial(transcriber_job.transcribe_room, options=options),
        agent_name=settings.agent_name,
        on_request=on_request,
    )
    return server


def _spool_directory(settings: Settings) -> Path:
    return Path(settings.spool_directory or Path(tempfile.gettempdir()) / "roomscribe-spool").absolute()


def _engine_defaults(settings: Settings) -> EngineDefaults:
    return EngineDefaults(
        provider=settings.stt_provider,
        base_url=settings.stt_base_url,
        model=settings.stt_model,
        api_key=settings.stt_api_key,
        options=settings.stt_options,
        speech_url=settings.speech_url,
        speech_api_key=settings.speech_api_key,
    )


def _dialing_rules(settings: Settings) -> DialingRules:
    return DialingRules(allowlist=settings.engine_allowed_hosts, plain_is_allowed=settings.is_local)


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT; a second one ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    backend = BackendApi(
        base_url=settings.backend_url, worker=settings.worker_name, secret=settings.internal_api_secret
    )
    with _own_directory() as directory:
        async with backend:
            await Worker(settings=settings, backend=backend, socket_path=Path(directory) / "jobs.sock").run(
                stop
            )


def _own_directory() -> "tempfile.TemporaryDirectory[str]":
    """0700. Raises OSError."""
    try:
        return tempfile.TemporaryDirectory(prefix="roomscribe-")
    except OSError:
        logger.error("temporary files cannot be written: full or read-only, or TMPDIR is wrong")
        raise


def main() -> None:
    """Exit code 0 after a signal, 1 after a failure, 2 for a wrong setting."""
    configure_logs()
    try:
        settings = read_settings()
        require_installed(settings.stt_provider)
    except SettingsError as error:
        logger.error("a setting is wrong", extra={"setting": str(error)})
        sys.exit(2)
    spare_memory()
    # What is there now stays: without it the collector looks at little, and often; with it garbage piled up for hours.
    gc.freeze()
    code = 0
    try:
        asyncio.run(serve(settings))
    except Exception:
        logger.exception("worker failed")
        code = 1
    _exit(code)


def require_installed(provider: str) -> None:
    """Raises SettingsError."""
    if provider not in ENGINES:
        raise SettingsError(f"STT_PROVIDER is not one of {', '.join(ENGINES)}")
    if not ENGINES[provider].is_installed:
        raise SettingsError(f"STT_PROVIDER is {provider}, whose optional packages are not installed")


def _exit(code: int) -> None:
    """Children first; then at once, as livekit's threads would keep the interpreter waiting."""
    children = multiprocessing.active_children()
    for child in children:
        child.kill()
    for child in children:
        child.join(CHILDREN_END_WITHIN_S)
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    main()
