"""The record under everything at once: doubles, disorder, killed workers, a database and a backend that go away."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.shapes import to_json
from tests.support.livekit import ROOT
from tests.support.people import joined
from tools.bench_transcripts.account import Account, Follower, Stored, accounted
from tools.bench_transcripts.plan import Agent, Plan, planned
from tools.chaos.lab import Lab
from tools.chaos.record import transcript_path

ROOMS, SESSIONS, GENERATIONS, WORKERS = 2, 2, 2, 3
READ_EVERY_S = 0.1
PAGE = 200
CORRECT_EVERY_S = 0.05
DATABASE_AWAY_S, BACKEND_AWAY_S = (0.5, 2.0), (0.2, 1.0)
CAUGHT_UP_WITHIN_S, ENDED_WITHIN_S = 30.0, 20.0
READER, ADMIN = "reader", "admin"


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often each, spread over the run."""

    kills: int
    database: int
    backend: int


def faults_for(finals: int) -> Faults:
    return Faults(
        kills=min(20, 2 + finals // 2500),
        database=min(6, 1 + finals // 8000),
        backend=min(4, 1 + finals // 12000),
    )


@dataclass(kw_only=True)
class Room:
    """One meeting, read all the time."""

    name: str
    follower: Follower = field(default_factory=Follower)


async def handed_in(directory: Path, *, count: int, faults: Faults, seed: int, plant: str) -> dict[str, Any]:
    """Of a whole run: the account, and what it went through."""
    with Lab(directory, workers=0, backends=1, keepers=0, redis=False) as lab:
        rooms = [Room(name=lab.new_room()) for _ in range(ROOMS)]
        async with _people(lab, rooms):
            agents = [agent for room in rooms for agent in await _agents(lab, room)]
            plan = planned(agents, finals=count, began_ms=int(time.time() * 1000), seed=seed, plant=plant)
            return await _run(lab, rooms, plan, faults, random.Random(seed))


async def _run(
    lab: Lab, rooms: Sequence[Room], plan: Plan, faults: Faults, chance: random.Random
) -> dict[str, Any]:
    began = time.monotonic()
    workers = Workers(lab, plan, chance)
    reading = [asyncio.create_task(_follow(lab, room)) for room in rooms]
    correcting = asyncio.create_task(_correct(lab, rooms, plan))
    try:
        await _through(lab, workers, faults, chance)
        took_s = time.monotonic() - began
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            await correcting
        await _caught_up(lab, rooms)
    finally:
        for task in (correcting, *reading):
            task.cancel()
        workers.close()
    account = sum([await asyncio.to_thread(_account_of, lab, room, plan) for room in rooms], Account())
    return {
        "account": vars(account),
        "is_whole": account.is_whole,
        "told": str(account),
        "seconds": round(took_s, 1),
        "answers": dict(workers.answers()),
        "batches": len(plan.handed),
        "corrected": len(plan.corrected),
        "reads": sum(room.follower.reads for room in rooms),
        "misread": sum(room.follower.wrong for room in rooms),
        "kills": workers.kills,
        **vars(faults),
    }


# The room and its agents


@contextlib.asynccontextmanager
async def _people(lab: Lab, rooms: Sequence[Room]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as inside:
        for room, person in itertools.product(rooms, (READER, ADMIN)):
            await inside.enter_async_context(joined(lab.livekit, room.name, person))
        yield


async def _agents(lab: Lab, room: Room) -> list[Agent]:
    """Sessions one after the other, each of several generations: as workers that were lost would have left them."""
    await _asked(
        lab,
        "PUT",
        transcript_path(room.name),
        lab.livekit.token(room.name, ADMIN, room_admin=True),
        {"keep": True},
    )
    agents = []
    for number in range(SESSIONS):
        if number:
            await _stopped(lab, room)
        answer = await lab.start_subtitles(room.name, ADMIN)
        if not answer.is_2xx:
            raise RuntimeError(f"start was answered {answer.status}: {answer.body}")
        of_room = f"room = '{room.name}' AND ended_at IS NULL"
        await asyncio.to_thread(
            lab.query, f"UPDATE leases_session SET generation = {GENERATIONS} WHERE {of_room}"
        )
        [(session,)] = await asyncio.to_thread(lab.query, f"SELECT id FROM leases_session WHERE {of_room}")
        agents += [
            Agent(room=room.name, session=str(session), generation=generation)
            for generation in range(1, GENERATIONS + 1)
        ]
    return agents


def _admin(lab: Lab, room: Room) -> str:
    return lab.livekit.token(room.name, ADMIN, room_admin=True)


async def _stopped(lab: Lab, room: Room) -> None:
    deadline = time.monotonic() + ENDED_WITHIN_S
    while (answer := await lab.stop_subtitles(room.name, ADMIN)).body.get("state") != "idle":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the session has not ended: {answer.body}")
        await asyncio.sleep(0.2)


async def _asked(lab: Lab, method: str, path: str, token: str, body: object = None) -> Any:
    """Asked again while the deployment is away. Raises RuntimeError for what is refused."""
    while True:
        answer = await lab.request(method, path, token, body)
        if answer.is_2xx:
            return answer.body
        if answer.status not in (0, 429, 502, 503, 504):
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {answer.body}")
        await asyncio.sleep(0.2)


# Those who hand in


class Workers:
    """Processes with a spool each."""

    def __init__(self, lab: Lab, plan: Plan, chance: random.Random) -> None:
        self._lab, self.kills = lab, 0
        self._directory = lab.directory / "spools"
        self._spools = [self._directory / f"worker-{number}" for number in range(WORKERS)]
        for spool in self._spools:
            spool.mkdir(parents=True)
        for number, handed in enumerate(plan.handed):
            (chance.choice(self._spools) / f"{number:06}.{handed.session}.json").write_text(
                to_json(handed.batch)
            )
        self._running: dict[Path, asyncio.subprocess.Process] = {}

    @property
    def left(self) -> int:
        return sum(1 for _ in self._directory.glob("*/*.json"))

    async def keep_running(self) -> None:
        """Who has been killed is started again, on the same spool, while there is something in it."""
        for spool in self._spools:
            process = self._running.get(spool)
            if (process is None or process.returncode is not None) and any(spool.glob("*.json")):
                self._running[spool] = await self._started(spool)

    async def _started(self, spool: Path) -> asyncio.subprocess.Process:
        environment = self._lab.environment | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        arguments = ("-m", "tools.bench_transcripts.poster", str(spool), self._lab.url, spool.name)
        with (self._directory / f"{spool.name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    async def kill(self, chance: random.Random) -> None:
        running = [process for process in self._running.values() if process.returncode is None]
        if running:
            victim = chance.choice(running)
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            self.kills += 1

    def answers(self) -> Counter[str]:
        """How often each status; `0`: none came."""
        return Counter(word for log in self._directory.glob("*.log") for word in log.read_text().split())

    def close(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.kill()


async def _through(lab: Lab, workers: Workers, faults: Faults, chance: random.Random) -> None:
    """Until everything has been handed in; each fault when as much of it has as is its turn."""
    of_all = workers.left
    kinds = ["kill"] * faults.kills + ["database"] * faults.database + ["backend"] * faults.backend
    chance.shuffle(kinds)
    turns = iter(
        (of_all * (len(kinds) - number) / (len(kinds) + 1), kind) for number, kind in enumerate(kinds)
    )
    turn = next(turns, None)
    while left := await asyncio.to_thread(lambda: workers.left):
        await workers.keep_running()
        if turn and left <= turn[0]:
            await _break(lab, workers, turn[1], chance)
            turn = next(turns, None)
        await asyncio.sleep(0.02)


async def _break(lab: Lab, workers: Workers, kind: str, chance: random.Random) -> None:
    if kind == "kill":
        await workers.kill(chance)
        return
    name, away_s = {"database": ("postgres", DATABASE_AWAY_S), "backend": ("backend-1", BACKEND_AWAY_S)}[kind]
    process = lab.process(name)
    await asyncio.to_thread(process.kill if chance.random() < 0.5 else process.stop)
    await asyncio.sleep(chance.uniform(*away_s))
    process.start()
    await asyncio.to_thread(process.wait_ready)


# Those who read and correct


async def _follow(lab: Lab, room: Room) -> None:
    token = lab.livekit.token(room.name, READER)
    while True:
        path = f"{segments_path(room.name)}?since={room.follower.cursor}&limit={PAGE}"
        answer = await lab.request("GET", path, token)
        if answer.status == 200:
            lines = [_line(segment) for segment in answer.body["segments"]]
            room.follower.take(lines, next=answer.body["next"])
        if answer.status != 200 or not answer.body["segments"]:
            await asyncio.sleep(READ_EVERY_S)


async def _correct(lab: Lab, rooms: Sequence[Room], plan: Plan) -> None:
    """Each as soon as the reader has it."""
    waiting = dict(plan.corrected)
    while waiting:
        for room, id in [(room, id) for room in rooms for id in waiting if id in room.follower.lines]:
            path = f"{segments_path(room.name)}{id}/"
            await _asked(lab, "PATCH", path, _admin(lab, room), {"text": waiting.pop(id)})
        await asyncio.sleep(CORRECT_EVERY_S)


async def _caught_up(lab: Lab, rooms: Sequence[Room]) -> None:
    for room in rooms:
        last_change = await asyncio.to_thread(_last_change, lab, room)
        await lab.until(
            lambda room=room, last=last_change: room.follower.cursor >= last,
            timeout_s=CAUGHT_UP_WITHIN_S,
            what="the reader has caught up",
        )


def segments_path(room: str) -> str:
    return f"/api/v1.0/rooms/{room}/segments/"


def _line(segment: dict[str, Any]) -> Stored:
    names = ("id", "change", "sequence", "start_ms", "revision", "speaker_identity", "text")
    return Stored(**{name: segment[name] for name in names})


# What the database holds

LINES = """
SELECT segment_id, change, sequence, start_ms, revision, speaker_identity, text
FROM transcripts_line JOIN meetings_meeting ON meeting_id = meetings_meeting.id WHERE room = '{room}'
"""
REPLACED = """
SELECT count(*) FROM transcripts_linerevision JOIN transcripts_line ON line_id = transcripts_line.id
JOIN meetings_meeting ON meeting_id = meetings_meeting.id WHERE room = '{room}'
"""


def _account_of(lab: Lab, room: Room, plan: Plan) -> Account:
    [(replaced,)] = lab.query(REPLACED.format(room=room.name))
    return accounted(
        plan.expected(room.name),
        list(_stored(lab, room)),
        replaced=replaced,
        last_change=_last_change(lab, room),
        seen=room.follower.lines,
    )


def _stored(lab: Lab, room: Room) -> Iterator[Stored]:
    for id, change, sequence, start_ms, revision, identity, text in lab.query(LINES.format(room=room.name)):
        yield Stored(
            id=str(id),
            change=change,
            sequence=sequence,
            start_ms=start_ms,
            revision=revision,
            speaker_identity=identity,
            text=text,
        )


def _last_change(lab: Lab, room: Room) -> int:
    [(last_change,)] = lab.query(f"SELECT last_change FROM meetings_meeting WHERE room = '{room.name}'")
    return int(last_change)
