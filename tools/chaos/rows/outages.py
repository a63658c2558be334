"""F10, F11, F12, F13: what the deployment stands on goes away and comes back, while somebody talks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tools.chaos import record
from tools.chaos.findings import Finding
from tools.chaos.lab import Answer, Lab, subtitles_path
from tools.chaos.meeting import Meeting
from tools.chaos.processes import LabProcess
from tools.chaos.steadiness import (
    LONGEST_GAP_S,
    Asked,
    Steadiness,
    ask_through,
    is_honest_refusal,
    told_s,
    until_served,
)
from tools.chaos.table import Needs, Seen, row

ASK_EVERY_S = 2.0
"""Of one person's 60 requests a minute."""
STEADY_AFTER_S = 10.0
BACK_WITHIN_S = 15.0
REMEMBERED_WITHIN_S = 10.0
WORKER_BACK_WITHIN_S = 11.0
AGENT_BACK_WITHIN_S = 5.0
REGISTERED = "worker registered"


def outage_s(*, long: bool, short: bool, of: tuple[float, float, float]) -> float:
    """Of the short, the default and the long form."""
    return of[0] if short else of[2] if long else of[1]


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What was seen of one: asked while it lasted, and what it did to a running room."""

    starts: Asked
    reads: Asked
    changes: list[str]
    unheard_s: float
    steady: str

    @property
    def spared_the_room(self) -> bool:
        return not self.changes and self.unheard_s <= LONGEST_GAP_S

    def __str__(self) -> str:
        return (
            f"start {self.starts.statuses} in <= {self.starts.slowest_s:.2f} s, "
            f"read {self.reads.statuses} in <= {self.reads.slowest_s:.2f} s; "
            f"running room: {self.steady}, most unheard {self.unheard_s:.1f} s"
        )


def end(process: LabProcess) -> None:
    """Killed; but Redis has to keep its data, as LiveKit's rooms are in it."""
    if process.name == "redis":
        process.stop()
    else:
        process.kill()


@contextlib.asynccontextmanager
async def two_rooms(lab: Lab, *, is_kept: bool = False) -> AsyncIterator[tuple[Meeting, Meeting]]:
    """One with captions running, and a transcript if it `is_kept`; one whose people will ask for them."""
    async with Meeting(lab) as running, Meeting(lab, people=("ben",)) as waiting:
        if is_kept:
            await record.keep(running)
        await running.begin()
        yield running, waiting


async def away(
    lab: Lab, running: Meeting, waiting: Meeting, *processes: LabProcess, seconds: float
) -> Outage:
    """Take these away for so long, ask for subtitles meanwhile, and look on for a while when they are back."""
    steady = await Steadiness.now(lab, running.room)
    for process in processes:
        await asyncio.to_thread(end, process)

    async def start() -> Answer:
        return await waiting.start()

    async def read() -> Answer:
        person = running.speakers[0].identity
        return await lab.request("GET", subtitles_path(running.room), lab.livekit.token(running.room, person))

    starts, reads = await asyncio.gather(
        ask_through(start, seconds=seconds, every_s=ASK_EVERY_S),
        ask_through(read, seconds=seconds, every_s=ASK_EVERY_S),
    )
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.wait_ready)
    # The time in which a keeper that trusts too soon would take the room away.
    await asyncio.sleep(STEADY_AFTER_S)
    changes = await steady.changes()
    return Outage(
        starts=starts,
        reads=reads,
        changes=changes,
        unheard_s=running.longest_unheard(steady.since, time.monotonic()),
        steady=steady.text(changes),
    )


@row(
    "F10",
    fault="Redis away 30 s (LiveKit in cluster mode, our cache)",
    expected="captions go on; start 2xx or 503 with Retry-After in <= 1 s, never 500; serves again by itself",
)
async def f10(lab: Lab, *, long: bool, short: bool) -> Seen:
    seconds = outage_s(long=long, short=short, of=(6, 30, 120))
    async with two_rooms(lab) as (running, waiting):
        outage = await away(lab, running, waiting, lab.process("redis"), seconds=seconds)
        served_s = await until_served(waiting)
        await running.hush()
        await running.settle()
        words = running.integrity()
    honest = outage.starts.are_all(lambda answer: answer.is_2xx or is_honest_refusal(answer))
    prompt = outage.starts.are_prompt and outage.reads.are_prompt
    no_500 = outage.reads.are_all(lambda answer: answer.status in (200, 503))
    ok = (
        honest
        and prompt
        and no_500
        and outage.spared_the_room
        and words.is_whole
        and served_s <= BACK_WITHIN_S
    )
    return Seen(f"{outage}; {words}; a new start served {served_s:.1f} s after", ok)


@row(
    "F11",
    fault="PostgreSQL away 20 s (LONG: 60 s), then hangs for 5 s; a transcript is kept",
    expected="captions go on, same agent and generation; REST 503 in <= 1 s; then all that counts is stored, each "
    "final once",
)
async def f11(lab: Lab, *, long: bool, short: bool) -> Seen:
    seconds = outage_s(long=long, short=short, of=(6, 20, 60))
    async with two_rooms(lab, is_kept=True) as (running, waiting):
        outage = await away(lab, running, waiting, lab.process("postgres"), seconds=seconds)
        remembered, ok_remembered = await _remembered(lab, running)
        served_s = await until_served(waiting)
        hung = await _hung(lab, running, seconds=outage_s(long=long, short=short, of=(2, 5, 5)))
        await running.hush()
        await running.settle()
        words, kept = running.integrity(), await record.settled(running)
    refused = outage.starts.are_all(is_honest_refusal) and outage.reads.are_all(is_honest_refusal)
    prompt = outage.starts.are_prompt and outage.reads.are_prompt
    ok = refused and prompt and outage.spared_the_room and words.is_whole and ok_remembered and hung.ok
    return Seen(
        f"{outage}; {hung.text}; {words}; {remembered}; {kept}; a new start served {served_s:.1f} s after",
        ok and kept.is_whole and served_s <= BACK_WITHIN_S,
    )


async def _hung(lab: Lab, running: Meeting, *, seconds: float) -> Finding:
    """It answers nobody for so long: what captions make of that."""
    postgres, since = lab.process("postgres"), time.monotonic()
    await asyncio.to_thread(postgres.pause)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(postgres.resume)
    unheard_s = running.longest_unheard(since, time.monotonic())
    return Finding(f"hung {seconds:g} s: most unheard {unheard_s:.1f} s", unheard_s <= LONGEST_GAP_S)


@row(
    "F12",
    fault="both backends away 30 s (LONG: 5 min), keepers and workers running; a transcript is kept",
    expected="no agent leaves, no new generation, neither meanwhile nor 10 s after; starts fail; captions go on; then "
    "each final is stored once",
)
async def f12(lab: Lab, *, long: bool, short: bool) -> Seen:
    seconds = outage_s(long=long, short=short, of=(8, 30, 300))
    backends = [process for process in lab.processes if process.name.startswith("backend")]
    async with two_rooms(lab, is_kept=True) as (running, waiting):
        outage = await away(lab, running, waiting, *backends, seconds=seconds)
        remembered, ok_remembered = await _remembered(lab, running)
        served_s = await until_served(waiting)
        await running.hush()
        await running.settle()
        words, kept = running.integrity(), await record.settled(running)
    failed = outage.starts.are_all(lambda answer: answer.status in (0, 502, 503, 504))
    is_whole = words.is_whole and ok_remembered and kept.is_whole
    ok = failed and outage.spared_the_room and is_whole and served_s <= BACK_WITHIN_S
    return Seen(f"{outage}; {words}; {remembered}; {kept}; a new start served {served_s:.1f} s after", ok)


async def _remembered(lab: Lab, meeting: Meeting) -> tuple[str, bool]:
    """Whether the database knows as much as the room was shown."""
    shown, began = meeting.highest_sequence(), time.monotonic()
    sql = (
        "SELECT last_sequence, state, spoken_at FROM leases_session "
        f"WHERE room = '{meeting.room}' AND ended_at IS NULL"
    )
    while True:
        rows = await asyncio.to_thread(lab.query, sql)
        ok = bool(rows) and rows[0][0] >= shown and rows[0][1] == "live" and rows[0][2] is not None
        took_s = time.monotonic() - began
        if ok or took_s > REMEMBERED_WITHIN_S:
            return f"stored: {'all' if ok else rows} of {shown} segments", ok
        await asyncio.sleep(0.2)


@row(
    "F13",
    fault="LiveKit killed and started again 5 s later (LONG: 60 s), without Redis: it knows no room any more",
    expected="worker registered <= 11 s after LiveKit answers; agent back in a room whose people are back <= 5 s "
    "after the first of them and the worker; one agent, live, no user action",
    needs=Needs(workers=1, backends=1, keepers=1, database="sqlite", redis=False),
)
async def f13(lab: Lab, *, long: bool, short: bool) -> Seen:
    return await livekit_restarts(lab, seconds=outage_s(long=long, short=short, of=(2, 5, 60)))


@row(
    "F13C",
    fault="the same with LiveKit in cluster mode, where Redis still knows the rooms",
    expected="as F13",
)
async def f13_cluster(lab: Lab, *, long: bool, short: bool) -> Seen:
    return await livekit_restarts(lab, seconds=outage_s(long=long, short=short, of=(2, 5, 60)))


async def livekit_restarts(lab: Lab, *, seconds: float) -> Seen:
    livekit = lab.process("livekit")
    room = lab.new_room()
    async with Meeting(lab, room=room) as before:
        await before.begin()
        generation = (await asyncio.to_thread(lab.lease_of, room) or ("", 0))[1]
        registrations = _registrations(lab)
        old = {agent.sid for agent in await lab.agents_in(room)}
        livekit.kill()
    await asyncio.sleep(seconds)
    livekit.start()
    await asyncio.to_thread(livekit.wait_ready)
    answers_at = time.monotonic()
    registering = asyncio.create_task(_registered_again(lab, registrations))
    async with Meeting(lab, room=room) as after:
        people_at = time.monotonic()
        after.talk()
        registered_at, gave_up = await registering
        back_at = await _new_agent_in(lab, room, old, timeout_s=20)
        seen_at = await after.caption_after(people_at, timeout_s=20) if back_at else None
        lease = await asyncio.to_thread(lab.lease_of, room)
        agents = len(await lab.agents_in(room))
        started_again = await until_served(after, timeout_s=20)
        await after.hush()
    worker_s = registered_at - answers_at
    back_s = back_at - max(people_at, registered_at) if back_at else None
    text = (
        f"worker registered {worker_s:.1f} s after LiveKit answered{' (had given up)' if gave_up else ''}; "
        f"agent back {told_s(back_s)} after worker and people, "
        f"caption {told_s(seen_at and seen_at - max(people_at, registered_at))}; "
        f"{agents} agents; lease {generation} became {lease and lease[1]}; "
        f"a start afterwards live after {started_again:.1f} s"
    )
    ok = (
        worker_s <= WORKER_BACK_WITHIN_S
        and back_s is not None
        and back_s <= AGENT_BACK_WITHIN_S
        and agents == 1
    )
    return Seen(text, ok)


def _registrations(lab: Lab) -> dict[str, int]:
    return {worker.name: worker.log().count(REGISTERED) for worker in lab.workers}


async def _registered_again(lab: Lab, before: dict[str, int]) -> tuple[float, bool]:
    """When every worker was; and whether one had given up and was started again."""
    gave_up, deadline = False, time.monotonic() + 60
    while True:
        for worker in lab.workers:
            if not worker.is_running:
                gave_up, before[worker.name] = True, 0
                worker.start()
        if all(worker.log().count(REGISTERED) > before[worker.name] for worker in lab.workers):
            return time.monotonic(), gave_up
        if time.monotonic() > deadline:
            raise TimeoutError("a worker has not registered again after 60 s")
        await asyncio.sleep(0.1)


async def _new_agent_in(lab: Lab, room: str, old: set[str], *, timeout_s: float) -> float | None:
    """When there first was one that is none of the old; None: not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if {agent.sid for agent in await lab.agents_in(room)} - old:
            return time.monotonic()
        await asyncio.sleep(0.1)
    return None
