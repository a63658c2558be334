"""P5, P6, F17, F19: starts and stops, many at once, at the wrong moment, and without a worker."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from livekit import api

from tests.support.people import joined
from tools.chaos.events import distinct
from tools.chaos.figures import p95, seconds
from tools.chaos.lab import Answer, Lab, subtitles_path
from tools.chaos.meeting import Meeting
from tools.chaos.table import Seen, row

STARTS = 100
PEOPLE = ("ada", "bob", "cyd", "dan", "eve")
WATCHED_FOR_S = 3.0
"""Longer than the keeper waits for a claim: a second dispatch would come in it."""
GONE_WITHIN_S = 1.0
PLACED_WITHIN_S = 5.0
ORPHANS_GONE_WITHIN_S = 10.0


@dataclass(kw_only=True)
class Traces:
    """What LiveKit listed of a room's agents while we looked."""

    agents: set[str] = field(default_factory=set)
    dispatches: set[str] = field(default_factory=set)
    most_at_once: int = 0


@asynccontextmanager
async def watched(lab: Lab, room: str) -> AsyncIterator[Traces]:
    """Look without a break for the length of the block."""
    traces = Traces()

    async def look(lkapi: api.LiveKitAPI) -> None:
        while True:
            listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
            agents = {p.sid for p in listed.participants if p.kind == api.ParticipantInfo.Kind.AGENT}
            traces.agents |= agents
            traces.most_at_once = max(traces.most_at_once, len(agents))
            traces.dispatches |= {
                d.id for d in await lkapi.agent_dispatch.list_dispatch(room) if d.agent_name
            }
            await asyncio.sleep(0.05)

    async with lab.livekit.api() as lkapi:
        looking = asyncio.create_task(look(lkapi), name="looking")
        try:
            yield traces
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


@asynccontextmanager
async def others_in(lab: Lab, room: str) -> AsyncIterator[None]:
    """Everybody but the first, in the room and silent."""
    async with contextlib.AsyncExitStack() as stack:
        for person in PEOPLE[1:]:
            await stack.enter_async_context(joined(lab.livekit, room, person))
        yield


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    began_at: float
    answer: Answer

    @property
    def ended_at(self) -> float:
        return self.began_at + self.answer.took_s


async def at_once(lab: Lab, room: str, methods: list[str]) -> list[Asked]:
    """All of them released together, by five people in turn, each on a connection and thread of its own."""
    gate = threading.Barrier(len(methods))
    tokens = [lab.livekit.token(room, person) for person in PEOPLE]

    def ask(number: int, method: str) -> Asked:
        body = {} if method == "POST" else None
        gate.wait(30)
        began = time.monotonic()
        answer = lab.http(method, subtitles_path(room), tokens[number % len(tokens)], body)
        return Asked(method=method, began_at=began, answer=answer)

    with ThreadPoolExecutor(len(methods)) as threads:
        loop = asyncio.get_running_loop()
        asking = (loop.run_in_executor(threads, ask, number, method) for number, method in enumerate(methods))
        return list(await asyncio.gather(*asking))


@row(
    "P5",
    fault="100 starts at once on one room, over all backends and two workers",
    expected="every round: 1 dispatch, 1 join, 0 kicks, 100 x 2xx",
    timeout_s=420,
)
async def p5(lab: Lab, *, long: bool, short: bool) -> Seen:
    rounds = [await _hundred_starts(lab) for _ in range(3 if short else 20)]
    bad = [told for told, is_right, _ in rounds if not is_right]
    slowest = max(took_s for _, _, took_s in rounds)
    text = f"{len(rounds) - len(bad)} of {len(rounds)} rounds right, slowest answer {seconds(slowest)}"
    return Seen("; ".join([text, *bad[:3]]), not bad)


async def _hundred_starts(lab: Lab) -> tuple[str, bool, float]:
    async with Meeting(lab) as meeting, others_in(lab, meeting.room), watched(lab, meeting.room) as traces:
        asked = await at_once(lab, meeting.room, ["POST"] * STARTS)
        since = time.monotonic()
        meeting.talk()
        trouble = ""
        try:
            await meeting.caption_after(since, timeout_s=10)
        except TimeoutError:
            trouble = ", no caption"
        await asyncio.sleep(max(0.0, WATCHED_FOR_S - (time.monotonic() - since)))
        joins = traces.agents | distinct(lab.events.of_agents(meeting.room, "participant_joined"))
        left = lab.events.of_agents(meeting.room, "participant_left")
        answers = Counter(_answered(each.answer) for each in asked)
        await meeting.stop()
    right = sum(each.answer.is_2xx for each in asked)
    told = (
        f"{len(traces.dispatches)} dispatches, {len(joins)} joins, {len(left)} kicks, "
        f"answers {dict(sorted(answers.items()))}{trouble}"
    )
    is_right = (len(traces.dispatches), len(joins), len(left), right) == (1, 1, 0, STARTS) and not trouble
    return told, is_right, max(each.answer.took_s for each in asked)


@row(
    "P6",
    fault="stop while somebody talks",
    expected="2xx to no subscription, no further caption, no dispatch, no agent: ≤ 1 s p95, never a caption later",
)
async def p6(lab: Lab, *, long: bool, short: bool) -> Seen:
    stops = [await _stop_while_talking(lab) for _ in range(3 if short else 50 if long else 12)]
    gone = p95([gone_s for gone_s, _, _ in stops])
    answered = p95([answered_s for _, answered_s, _ in stops])
    late = sum(late for _, _, late in stops)
    text = f"gone after {seconds(gone)} p95 of {len(stops)}, answer {seconds(answered)} p95, {late} late captions"
    return Seen(text, gone <= GONE_WITHIN_S and answered <= 1 and not late)


async def _stop_while_talking(lab: Lab) -> tuple[float, float, int]:
    """From the answer until nothing is left; the answer's own time; captions more than a second after it."""
    async with Meeting(lab) as meeting:
        await meeting.begin()
        answer = await meeting.stop()
        if not answer.is_2xx:
            raise RuntimeError(f"stop was answered {answer.status}: {answer.body}")
        answered_at = time.monotonic()
        gone_at = await _gone(lab, meeting.room)
        await asyncio.sleep(2.0)
        last = meeting.last_caption_before(time.monotonic()) or answered_at
        late = meeting.captions_between(answered_at + GONE_WITHIN_S, time.monotonic())
    return max(gone_at, last) - answered_at, answer.took_s, late


async def _gone(lab: Lab, room: str, *, timeout_s: float = 10) -> float:
    """When LiveKit listed neither agent nor dispatch of ours; an agent that is out is subscribed to nothing."""
    deadline = time.monotonic() + timeout_s
    while await lab.agents_in(room) or await lab.dispatches_in(room):
        if time.monotonic() > deadline:
            raise TimeoutError(f"an agent or a dispatch is left after {timeout_s:g} s")
        await asyncio.sleep(0.03)
    return time.monotonic()


@row(
    "F17",
    fault="starts race stops; start during a drain; stop during a drain; stop right after a crash",
    expected="only the design's answers; the state equals some order of them; 0 orphans after 10 s",
    timeout_s=240,
)
async def f17(lab: Lab, *, long: bool, short: bool) -> Seen:
    cases: dict[str, Callable[[Lab], Awaitable[str]]] = {
        "race": _starts_race_stops,
        "start during drain": _start_during_drain,
        "stop during drain": _stop_during_drain,
        "stop after crash": _stop_after_a_crash,
    }
    bad: list[str] = []
    rounds = 1 if short else 10 if long else 2
    for _ in range(rounds):
        for name, case in cases.items():
            if trouble := await case(lab):
                bad.append(f"{name}: {trouble}")
            await lab.mend()
    right = rounds * len(cases) - len(bad)
    return Seen("; ".join([f"{right} of {rounds * len(cases)} right", *bad[:3]]), not bad)


async def _starts_race_stops(lab: Lab) -> str:
    async with Meeting(lab) as meeting, others_in(lab, meeting.room):
        meeting.talk()
        asked = await at_once(lab, meeting.room, ["POST", "POST", "POST", "POST", "DELETE"] * 20)
        odd = Counter(a.answer.status for a in asked if a.answer.status not in (200, 201, 429, 503))
        state = await _state_at_rest(meeting)
        allowed = _states_in_some_order(asked)
        if trouble := await _orphans(lab, meeting.room, is_active=state != "idle"):
            return trouble
        await _until_stopped(meeting)
        if trouble := await _orphans(lab, meeting.room, is_active=False):
            return f"after the stop: {trouble}"
    if odd:
        return f"answers {dict(odd)}"
    return "" if state in allowed else f"state {state}, in no order"


def _states_in_some_order(asked: list[Asked]) -> set[str]:
    """What the room may be in the end, by what had ended before what began."""
    starts = [a for a in asked if a.method == "POST" and a.answer.is_2xx]
    stops = [a for a in asked if a.method == "DELETE" and a.answer.is_2xx]
    allowed = set()
    if any(all(start.began_at <= stop.ended_at for start in starts) for stop in stops) or not starts:
        allowed.add("idle")
    if any(all(stop.began_at <= start.ended_at for stop in stops) for start in starts):
        allowed.add("live")
    return allowed


async def _state_at_rest(meeting: Meeting) -> str:
    await meeting.until_state("live", "idle", "failed", timeout_s=ORPHANS_GONE_WITHIN_S)
    await asyncio.sleep(1.5)  # a stop that is still under way shows itself
    await meeting.until_state("live", "idle", "failed", timeout_s=ORPHANS_GONE_WITHIN_S)
    return str((await meeting.state())["state"])


async def _until_stopped(meeting: Meeting) -> None:
    """By somebody with changes left: one person has ten a minute."""
    for person in PEOPLE:
        if (await meeting.lab.stop_subtitles(meeting.room, person)).is_2xx:
            return
    raise RuntimeError("nobody could stop")


async def _orphans(lab: Lab, room: str, *, is_active: bool) -> str:
    """'' once exactly what belongs there is there, and stays; else what is wrong after 10 s."""
    deadline = time.monotonic() + ORPHANS_GONE_WITHIN_S
    right_since: float | None = None
    wanted = int(is_active)
    while True:
        agents, dispatches = len(await lab.agents_in(room)), len(await lab.dispatches_in(room))
        now = time.monotonic()
        right_since = (right_since or now) if (agents, dispatches) == (wanted, wanted) else None
        if right_since and now - right_since > 2:
            return ""
        if now > deadline:
            return f"{agents} agents and {dispatches} dispatches, not {wanted}"
        await asyncio.sleep(0.1)


async def _start_during_drain(lab: Lab) -> str:
    """The room is not the draining worker's; no new job is."""
    draining = lab.workers[0]
    async with Meeting(lab) as meeting:
        draining.terminate()
        answer = await meeting.start()
        if answer.status != 201:
            return f"start was answered {answer.status}"
        await meeting.until_state("live", timeout_s=PLACED_WITHIN_S)
        if lab.subtitles_of(meeting.room) == draining.name:
            return "the draining worker took it"
        meeting.talk()
        await meeting.caption_after(time.monotonic())
        trouble = await _orphans(lab, meeting.room, is_active=True)
        await meeting.stop()
        return trouble


async def _stop_during_drain(lab: Lab) -> str:
    async with Meeting(lab) as meeting:
        await meeting.begin()
        lab.process(_holder(lab, meeting)).terminate()
        await asyncio.sleep(0.3)  # into the hand-over
        return await _stopped_for_good(lab, meeting)


async def _stop_after_a_crash(lab: Lab) -> str:
    async with Meeting(lab) as meeting:
        await meeting.begin()
        lab.process(_holder(lab, meeting)).kill()
        return await _stopped_for_good(lab, meeting)


async def _stopped_for_good(lab: Lab, meeting: Meeting) -> str:
    answer = await meeting.stop()
    if not answer.is_2xx:
        return f"stop was answered {answer.status}"
    if trouble := await _orphans(lab, meeting.room, is_active=False):
        return trouble
    since = time.monotonic()
    await lab.mend()  # a worker that comes brings nothing back
    if trouble := await _orphans(lab, meeting.room, is_active=False):
        return f"after the worker came back: {trouble}"
    captions = meeting.captions_between(since, time.monotonic())
    state = (await meeting.state()).get("state")
    return f"state {state}, {captions} captions" if captions or state != "idle" else ""


def _holder(lab: Lab, meeting: Meeting) -> str:
    holder = lab.subtitles_of(meeting.room)
    if holder is None:
        raise RuntimeError("no worker holds the room")
    return holder


@row(
    "F19",
    fault="start with no worker registered, and with the only worker at capacity",
    expected="state and reason in ≤ 1 s, no room created, live ≤ 5 s after a worker comes or has room",
    timeout_s=180,
)
async def f19(lab: Lab, *, long: bool, short: bool) -> Seen:
    told: list[str] = []
    is_right = True
    for _ in range(1 if short else 5 if long else 2):
        for case in (_no_worker, _at_capacity):
            text, is_as_promised = await case(lab)
            is_right &= is_as_promised
            told.append(text)
            await lab.mend()
    return Seen("; ".join(told), is_right)


async def _no_worker(lab: Lab) -> tuple[str, bool]:
    await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in lab.workers))
    comes = lab.workers[0]
    absent = lab.new_room()
    async with Meeting(lab) as meeting:
        answer = await meeting.start()
        is_said = _says(answer, "no_worker")
        nowhere = await lab.start_subtitles(absent, "ada")
        no_room = absent not in await lab.rooms() and 400 <= nowhere.status < 500 and nowhere.took_s <= 1
        comes.start()
        await asyncio.to_thread(comes.wait_ready)
        came_at = time.monotonic()
        await meeting.until_state("live", timeout_s=30)
        live_s = time.monotonic() - came_at
        await meeting.stop()
    text = f"no worker: {_told(answer)}, absent room {nowhere.status}, live {seconds(live_s)} after one came"
    return text, is_said and no_room and live_s <= PLACED_WITHIN_S


async def _at_capacity(lab: Lab) -> tuple[str, bool]:
    await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in lab.workers))
    only = lab.workers[0]
    only.start(SUBTITLES_CAPACITY="1")
    await asyncio.to_thread(only.wait_ready)
    try:
        async with Meeting(lab) as first, Meeting(lab) as second:
            await first.begin()
            await lab.until(lambda: _speaking(lab, only.name) == 1, timeout_s=10, what="somebody speaks")
            answer = await second.start()
            is_said = _says(answer, "at_capacity")
            await first.hush()
            await lab.until(lambda: _speaking(lab, only.name) == 0, timeout_s=20, what="nobody speaks")
            free_at = time.monotonic()
            await second.until_state("live", timeout_s=30)
            live_s = time.monotonic() - free_at
            await second.stop()
            await first.stop()
    finally:
        await asyncio.to_thread(only.stop)  # its small capacity goes with it
    text = f"at capacity: {_told(answer)}, live {seconds(live_s)} after there was room"
    return text, is_said and live_s <= PLACED_WITHIN_S


def _answered(answer: Answer) -> str:
    """The status, and an error's code."""
    code = answer.body.get("code") if isinstance(answer.body, dict) else answer.body
    return str(answer.status) if answer.is_2xx else f"{answer.status} {code}"


def _says(answer: Answer, reason: str) -> bool:
    is_body = isinstance(answer.body, dict)
    state = (answer.body.get("state"), answer.body.get("reason")) if is_body else None
    return answer.is_2xx and answer.took_s <= 1 and state == ("waiting_for_worker", reason)


def _told(answer: Answer) -> str:
    state = answer.body.get("state") if isinstance(answer.body, dict) else answer.body
    reason = answer.body.get("reason") if isinstance(answer.body, dict) else None
    return f"{answer.status} {state}/{reason} in {seconds(answer.took_s)}"


def _speaking(lab: Lab, worker: str) -> int:
    return int(lab.query(f"SELECT speaking FROM leases_worker WHERE name = '{worker}'")[0][0])
