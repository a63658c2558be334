"""A backend that speaks `/internal/v1/`: claims and orders by script, and everything it was told."""

import asyncio
import threading
import time
import uuid
from dataclasses import dataclass

import jwt
from aiohttp import web
from livekit import api

from contract import names, shapes
from contract.dispatch import DispatchMetadata
from contract.workers import (
    ClaimAnswer,
    ClaimRequest,
    HeardUntil,
    HeartbeatAnswer,
    JobCommand,
    JobReport,
    Order,
    WorkerHeartbeat,
)
from tests.support.livekit import LiveKitServer
from tests.support.threaded import ThreadedServer

SECRET = "internal-secret-of-the-tests-" + "x" * 16


@dataclass(frozen=True, kw_only=True)
class Told:
    """One heartbeat, when it came (monotonic)."""

    at: float
    worker: str
    heartbeat: WorkerHeartbeat


@dataclass(kw_only=True)
class Lease:
    """One session as the double keeps it; change `order` to tell its job something else."""

    session: str
    generation: int
    answer: ClaimAnswer
    order: Order | None = Order.SPEAK
    heard_until: tuple[HeardUntil, ...] | None = None
    is_to_be_handed_over: bool = False
    """Whether another worker could take it when its own drains; if not, it is told to finish."""
    claim_status: int = 200
    claims: int = 0

    @property
    def identity(self) -> str:
        return self.answer.agent_identity

    @property
    def metadata(self) -> str:
        return shapes.to_json(DispatchMetadata(session=self.session, generation=self.generation))


class BackendDouble:
    """`with BackendDouble() as backend:`."""

    def __init__(self) -> None:
        self._server = ThreadedServer(self._application)
        self._changed = threading.Condition()
        self.leases: dict[tuple[str, int], Lease] = {}
        self.told: list[Told] = []
        self.refused_tokens = 0
        self.answers_heartbeats = True

    def __enter__(self) -> "BackendDouble":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    def shut(self) -> None:
        self._server.shut()

    def open(self) -> None:
        self._server.open()

    def lease(
        self, room: str, *, first_sequence: int = 1, engine: str = "embedded", generation: int = 1
    ) -> Lease:
        """A lease that a worker may claim."""
        session = str(uuid.uuid4())
        answer = ClaimAnswer(
            session=session,
            generation=generation,
            room=room,
            agent_identity=names.agent_identity(agent=uuid.uuid4().hex, generation=generation),
            language="en",
            engine=engine,
            first_sequence=first_sequence,
            screen_share_audio=False,
        )
        lease = Lease(session=session, generation=generation, answer=answer)
        self.leases[session, generation] = lease
        return lease

    async def dispatch(self, server: LiveKitServer, lease: Lease, *, agent_name: str) -> None:
        """Ask LiveKit for a job, as the real backend does."""
        async with server.api() as livekit:
            await livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(
                    agent_name=agent_name, room=lease.answer.room, metadata=lease.metadata
                )
            )

    def reports(self, lease: Lease) -> list[tuple[float, JobReport]]:
        """What was said of a lease, and when."""
        return [
            (told.at, job)
            for told in list(self.told)
            for job in told.heartbeat.jobs
            if (job.session, job.generation) == (lease.session, lease.generation)
        ]

    async def report(
        self, lease: Lease, *, timeout_s: float = 10, since: float = 0.0, **wanted: object
    ) -> JobReport:
        """The first report of a lease, told after `since`, that has these values."""
        async with asyncio.timeout(timeout_s):
            while True:
                for at, job in self.reports(lease):
                    if at >= since and all(getattr(job, name) == value for name, value in wanted.items()):
                        return job
                await self._next_change()

    async def heartbeat(self, *, timeout_s: float = 10, since: float = 0.0, **wanted: object) -> Told:
        """The first heartbeat told after `since` that has these values."""
        async with asyncio.timeout(timeout_s):
            while True:
                for told in list(self.told):
                    if told.at >= since and all(
                        getattr(told.heartbeat, name) == value for name, value in wanted.items()
                    ):
                        return told
                await self._next_change()

    async def claimed(self, lease: Lease, *, times: int = 1, timeout_s: float = 10) -> None:
        """Until a lease was asked for so often."""
        async with asyncio.timeout(timeout_s):
            while lease.claims < times:
                await self._next_change()

    async def _next_change(self) -> None:
        await asyncio.to_thread(self._wait_for_change)

    def _wait_for_change(self) -> None:
        with self._changed:
            self._changed.wait(0.2)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_post(names.PATH_HEARTBEAT, self._heartbeat)
        application.router.add_post(names.PATH_CLAIM, self._claim)
        return application

    def _caller(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                token,
                SECRET,
                algorithms=["HS256"],
                audience=names.INTERNAL_AUDIENCE,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.InvalidTokenError:
            claims = {"exp": float("inf"), "sub": ""}
        if scheme != "Bearer" or claims["exp"] - time.time() > names.INTERNAL_TOKEN_TTL_S:
            self.refused_tokens += 1
            raise web.HTTPUnauthorized
        return str(claims["sub"])

    async def _heartbeat(self, request: web.Request) -> web.Response:
        worker = self._caller(request)
        if worker != request.match_info["worker"]:
            raise web.HTTPUnauthorized
        heartbeat = shapes.from_json(WorkerHeartbeat, await request.read())
        if not self.answers_heartbeats:
            raise web.HTTPServiceUnavailable
        self.told.append(Told(at=time.monotonic(), worker=worker, heartbeat=heartbeat))
        commands = [
            command for job in heartbeat.jobs if (command := self._command(job, draining=heartbeat.draining))
        ]
        self._note()
        return _json(HeartbeatAnswer(jobs=tuple(commands)))

    def _command(self, job: JobReport, *, draining: bool) -> JobCommand | None:
        lease = self.leases.get((job.session, job.generation))
        order = lease.order if lease else Order.LEAVE
        if draining and order is not Order.LEAVE and not (lease and lease.is_to_be_handed_over):
            order = Order.FINISH
        if order is None:
            return None
        return JobCommand(
            session=job.session,
            generation=job.generation,
            order=order,
            language="en",
            heard_until=lease.heard_until if lease else None,
        )

    async def _claim(self, request: web.Request) -> web.Response:
        self._caller(request)
        wanted = shapes.from_json(ClaimRequest, await request.read())
        lease = self.leases.get((request.match_info["session"], wanted.generation))
        if lease is None:
            return web.json_response({"code": "claim_stale"}, status=409)
        lease.claims += 1
        self._note()
        if lease.claim_status != 200:
            code = {409: "claim_stale", 503: "at_capacity"}.get(lease.claim_status, "internal")
            return web.json_response({"code": code}, status=lease.claim_status)
        return _json(lease.answer)


def _json(value: object) -> web.Response:
    return web.Response(text=shapes.to_json(value), content_type="application/json")


__all__ = ["SECRET", "BackendDouble", "Lease", "Told"]
