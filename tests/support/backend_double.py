"""A backend that speaks `/internal/v1/`: claims and orders by script, and everything it was told."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import jwt
from aiohttp import web
from livekit import api

from contract import names, shapes
from contract.dispatch import DispatchMetadata
from contract.engines import (
    EnginesCause,
    EngineSetup,
    EnginesRequest,
    EngineTestOutcome,
    EngineTestTask,
    SessionEngines,
)
from contract.segments import Segment
from contract.transcripts import PostedSegment, SegmentsAnswer, SegmentsBatch, Wish, Wishes
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
    engines: SessionEngines
    """Set by `equip`."""
    engines_status: int = 200
    engines_asked: list[EnginesCause] = field(default_factory=list)
    kept_since_ms: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    posted: tuple[PostedSegment, ...] = ()
    """Told until they are taken."""

    def keep(self) -> None:
        self.kept_since_ms = round(time.time() * 1000)

    def wish(self, *people: Wish) -> None:
        """Instead of what was wished before."""
        self.wishes = Wishes(revision=self.wishes.revision + 1, people=people)

    def post(self, *segments: Segment) -> None:
        last = self.posted[-1].number if self.posted else 0
        self.posted += tuple(
            PostedSegment(number=last + n, segment=one) for n, one in enumerate(segments, start=1)
        )

    @property
    def identity(self) -> str:
        return self.answer.agent_identity

    @property
    def metadata(self) -> str:
        return shapes.to_json(DispatchMetadata(session=self.session, generation=self.generation))

    def equip(
        self, *chain: EngineSetup, glossary: tuple[str, ...] = (), is_budget_spent: bool = False
    ) -> None:
        """Other engines than before; the next heartbeat's answer says that there are."""
        self.engines = SessionEngines(
            session=self.session,
            generation=self.generation,
            revision=self.engines.revision + 1,
            chain=chain,
            glossary=glossary,
            is_budget_spent=is_budget_spent,
        )


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """One final as it was stored, and when (monotonic)."""

    at: float
    worker: str
    session: str
    generation: int
    segment: Segment


@dataclass(kw_only=True)
class SegmentsScript:
    """What becomes of finals that are handed in; may be changed at any time."""

    status: int = 200
    delay_s: float = 0.0
    breaks_off: bool = False
    """The connection is cut once they are stored, in the middle of the answer."""
    poison: str = ""
    """A batch with a final that says this is refused."""


class BackendDouble:
    """`with BackendDouble() as backend:`."""

    def __init__(self) -> None:
        self._server = ThreadedServer(self._application)
        self._changed = threading.Condition()
        self.leases: dict[tuple[str, int], Lease] = {}
        self.told: list[Told] = []
        self.engine_tests: dict[str, tuple[str, EngineTestTask]] = {}
        """To be taken: by whom, and what."""
        self.engine_test_outcomes: dict[str, EngineTestOutcome] = {}
        self.refused_tokens = 0
        self.answers_heartbeats = True
        self.knows_engines = True
        """False: it is older than the question for them."""
        self.segments = SegmentsScript()
        self.stored: dict[tuple[str, int, str, str, int], HandedIn] = {}
        """By what a final is known by."""
        self.batches: list[tuple[str, int]] = []
        """Session and size of each that was handed in."""

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
        self,
        room: str,
        *,
        first_sequence: int = 1,
        engine: str = "embedded",
        fallback: tuple[str, ...] = (),
        generation: int = 1,
        agent: str | None = None,
    ) -> Lease:
        """A lease that a worker may claim; `agent` is the same for all generations of a session."""
        session = str(uuid.uuid4())
        answer = ClaimAnswer(
            session=session,
            generation=generation,
            room=room,
            agent_identity=names.agent_identity(agent=agent or uuid.uuid4().hex, generation=generation),
            language="en",
            engine=engine,
            fallback=fallback,
            first_sequence=first_sequence,
            screen_share_audio=False,
        )
        engines = SessionEngines(
            session=session,
            generation=generation,
            revision=1,
            chain=tuple(EngineSetup(engine=name) for name in (engine, *fallback)),
        )
        lease = Lease(session=session, generation=generation, answer=answer, engines=engines)
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

    def offer_engine_test(self, worker: str, task: EngineTestTask) -> None:
        """Only that worker hears of it: another one may have another engine under the same name."""
        self.engine_tests[task.test] = (worker, task)

    async def engine_test_taken(self, test: str, *, timeout_s: float = 10) -> None:
        """Until a worker has it."""
        async with asyncio.timeout(timeout_s):
            while test in self.engine_tests:
                await self._next_change()

    async def engine_test_outcome(self, test: str, *, timeout_s: float = 20) -> EngineTestOutcome:
        async with asyncio.timeout(timeout_s):
            while test not in self.engine_test_outcomes:
                await self._next_change()
        return self.engine_test_outcomes[test]

    async def engines_asked(self, lease: Lease, cause: EnginesCause, *, timeout_s: float = 10) -> None:
        """Until a lease's engines were asked for, for this cause."""
        async with asyncio.timeout(timeout_s):
            while cause not in lease.engines_asked:
                await self._next_change()

    def transcript(self, lease: Lease) -> list[Segment]:
        """What is stored of a lease, in the order in which it came."""
        return [
            one.segment
            for one in list(self.stored.values())
            if (one.session, one.generation) == (lease.session, lease.generation)
        ]

    async def has_stored(self, lease: Lease, segments: Iterable[Segment], *, timeout_s: float = 10) -> None:
        """Until all of these are, as they were seen."""
        wanted = [replace(segment, is_backlog=False) for segment in segments]
        async with asyncio.timeout(timeout_s):
            while not all(segment in self.transcript(lease) for segment in wanted):
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
        application.router.add_post(names.PATH_ENGINE_TEST_TAKE, self._give_engine_test)
        application.router.add_post(names.PATH_ENGINE_TEST, self._end_engine_test)
        application.router.add_post(names.PATH_ENGINES, self._engines)
        application.router.add_post(names.PATH_SEGMENTS, self._take_segments)
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
        offers = tuple(test for test, (taker, _) in list(self.engine_tests.items()) if taker == worker)
        return _json(HeartbeatAnswer(jobs=tuple(commands), engine_tests=() if heartbeat.draining else offers))

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
            engines_revision=lease.engines.revision if lease and self.knows_engines else 0,
            kept_since_ms=lease.kept_since_ms if lease else None,
            wishes=lease.wishes if lease and lease.wishes.revision != job.wishes_revision else None,
            posted=_untaken(lease, job) if lease and order is Order.SPEAK else (),
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
        return _json(replace(lease.answer, kept_since_ms=lease.kept_since_ms, wishes=lease.wishes))

    async def _take_segments(self, request: web.Request) -> web.Response:
        worker, session = self._caller(request), request.match_info["session"]
        batch = shapes.from_json(SegmentsBatch, await request.read())
        script = self.segments
        await asyncio.sleep(script.delay_s)
        self.batches.append((session, len(batch.segments)))
        self._note()
        status = script.status
        if script.poison and any(script.poison in segment.text for segment in batch.segments):
            status = 400
        if not any(known == session for known, _ in self.leases):
            return web.json_response({"code": names.CODE_TRANSCRIPT_ABSENT}, status=404)
        if status != 200:
            return web.json_response({"code": "scripted"}, status=status)
        stored = 0
        for one in batch.segments:
            key = (session, batch.generation, one.speaker_identity, one.id, one.revision)
            if key not in self.stored:
                stored += 1
                self.stored[key] = HandedIn(
                    at=time.monotonic(),
                    worker=worker,
                    session=session,
                    generation=batch.generation,
                    segment=one,
                )
        self._note()
        if script.breaks_off and request.transport is not None:
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            request.transport.abort()
        return _json(SegmentsAnswer(stored=stored, known=len(batch.segments) - stored))

    async def _give_engine_test(self, request: web.Request) -> web.Response:
        self._caller(request)
        offered = self.engine_tests.pop(request.match_info["test"], None)
        self._note()
        return web.json_response({"code": "test_taken"}, status=409) if offered is None else _json(offered[1])

    async def _end_engine_test(self, request: web.Request) -> web.Response:
        self._caller(request)
        outcome = shapes.from_json(EngineTestOutcome, await request.read())
        self.engine_test_outcomes[request.match_info["test"]] = outcome
        self._note()
        return web.json_response({})

    async def _engines(self, request: web.Request) -> web.Response:
        self._caller(request)
        if not self.knows_engines:
            raise web.HTTPNotFound
        asked = shapes.from_json(EnginesRequest, await request.read())
        lease = self.leases.get((request.match_info["session"], asked.generation))
        if lease is None:
            return web.json_response({"code": "claim_stale"}, status=409)
        lease.engines_asked.append(asked.cause)
        self._note()
        if lease.engines_status != 200:
            return web.json_response({"code": "scripted"}, status=lease.engines_status)
        return _json(lease.engines)


def _untaken(lease: Lease, job: JobReport) -> tuple[PostedSegment, ...]:
    return tuple(one for one in lease.posted if one.number > job.posted_taken)[:20]


def _json(value: object) -> web.Response:
    return web.Response(text=shapes.to_json(value), content_type="application/json")


__all__ = ["SECRET", "BackendDouble", "HandedIn", "Lease", "Told"]
