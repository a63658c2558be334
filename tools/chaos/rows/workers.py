"""F1, F2, F3, F4: a worker dies, its job dies, it is told to end, it is paused."""

import asyncio
import os
import shutil
import signal
import subprocess
import time

from tools.chaos import record
from tools.chaos.figures import seconds, worst
from tools.chaos.lab import Lab
from tools.chaos.meeting import NEW_AGENT_FROM, Meeting
from tools.chaos.processes import LabProcess
from tools.chaos.table import Seen, row

BACK_WITHIN_S, BACK_WITHIN_ALONE_S, JOB_BACK_WITHIN_S = 5.0, 15.0, 3.0
GIVEN_UP_AFTER_S = 20.0
HAND_OVER_GAP_S = 2.0
UNTOUCHED_GAP_S = 3.0
"""Of speech without a caption: a busy recogniser takes up to two, a lost agent longer than three."""
GRACE_S = 30.0
"""Of the containers, and the most a drain may take; `make run` gives less."""
PAUSED_FOR_S = 10.0
LEAVES_WITHIN_S = 1.0
WATCHED_FOR_S = 5.0


@row(
    "F1",
    fault="SIGKILL of the worker that holds the room, its main process",
    expected="captions back by themselves: ≤ 5 s with a second worker, ≤ 15 s with one, started again; "
    "1 agent, no sequence given twice; each final that was seen is stored once, also what it had not handed in",
    timeout_s=420,
)
async def f1(lab: Lab, *, long: bool, short: bool) -> Seen:
    async with Meeting(lab) as meeting:
        await record.keep(meeting)
        await meeting.begin()
        back = [await _killed(lab, meeting) for _ in range(2 if short else 10)]
        second = next(worker for worker in lab.workers if worker.name != lab.subtitles_of(meeting.room))
        await asyncio.to_thread(second.stop)
        alone = [await _killed(lab, meeting) for _ in range(1 if short else 3)]
        unsent = await _killed_with_finals(lab, meeting)
        agents, twice = await _agents_at_rest(lab, meeting.room), meeting.sequences_twice()
        await meeting.hush()
        kept = await record.settled(meeting)
        await meeting.stop()
    text = (
        f"{worst(back)} kills; alone {worst(alone)}; {agents} agent left, {twice} sequences given twice; "
        f"{kept}, {unsent} of them in the spool of a killed worker"
    )
    is_back = max(back) <= BACK_WITHIN_S and max(alone) <= BACK_WITHIN_ALONE_S
    return Seen(text, is_back and agents == 1 and not twice and kept.is_whole and unsent > 0)


async def _killed(lab: Lab, meeting: Meeting) -> float:
    """From the kill to the first caption of the next agent; then everything is as before."""
    worker = await _holder(lab, meeting)
    above, killed_at = meeting.highest_sequence(), time.monotonic()
    worker.kill()
    worker.start()  # as whoever keeps processes alive does
    back_s = await _back_s(meeting, above=above, since=killed_at)
    await asyncio.to_thread(worker.wait_ready)
    await lab.until(
        lambda: _heard_of(lab, worker.name), timeout_s=10, what="the worker that came back is heard of"
    )
    return back_s


async def _killed_with_finals(lab: Lab, meeting: Meeting) -> int:
    """While no backend takes any; how many had been seen by then. Nobody can take over before one is back."""
    worker = await _holder(lab, meeting)
    backends = [process for process in lab.processes if process.name.startswith("backend")]
    for backend in backends:
        await asyncio.to_thread(backend.kill)
    away_at = time.monotonic()
    await meeting.viewer.until(
        lambda _: any(caption.at > away_at and caption.segment.is_final for caption in meeting.captions),
        timeout_s=GIVEN_UP_AFTER_S,
    )
    worker.kill()
    unsent = (await asyncio.to_thread(record.record_of, meeting)).lost
    if lab.plant == "burnt_spool":
        await asyncio.to_thread(shutil.rmtree, lab.spool_of(worker.name))
    for process in (*backends, worker):
        process.start()
        await asyncio.to_thread(process.wait_ready)
    await _holder(lab, meeting)
    return unsent


@row(
    "F2",
    fault="SIGKILL of the job process alone, another room on the same worker",
    expected="captions back ≤ 3 s; the other room keeps its generation and its captions",
    timeout_s=180,
)
async def f2(lab: Lab, *, long: bool, short: bool) -> Seen:
    second = lab.workers[1]
    await asyncio.to_thread(second.stop)  # so that both rooms are on one
    async with Meeting(lab) as meeting, Meeting(lab, people=("bob",)) as other:
        await meeting.begin()
        await other.begin()
        second.start()
        await asyncio.to_thread(second.wait_ready)
        since, lease = time.monotonic(), lab.lease_of(other.room)
        back = [await _job_killed(lab, meeting) for _ in range(1 if short else 3)]
        gap_s = other.longest_unheard(since, time.monotonic())
        is_untouched = lease == lab.lease_of(other.room) and gap_s <= UNTOUCHED_GAP_S
        await meeting.stop()
        await other.stop()
    text = f"{worst(back)} kills; the other room: longest gap {seconds(gap_s)}"
    return Seen(
        f"{text}{'' if is_untouched else ', TOUCHED'}", max(back) <= JOB_BACK_WITHIN_S and is_untouched
    )


async def _job_killed(lab: Lab, meeting: Meeting) -> float:
    await _holder(lab, meeting)
    above, killed_at = meeting.highest_sequence(), time.monotonic()
    os.kill(lab.job_of(meeting.room), signal.SIGKILL)
    back_s = await _back_s(meeting, above=above, since=killed_at)
    await meeting.caption_after(time.monotonic() + 1)
    return back_s


@row(
    "F3",
    fault="SIGTERM of the worker that holds the room, during speech; it comes back and the other one is drained",
    expected="gap ≤ 2 s; 0 sentences lost or doubled; no new job; exit 0 within the grace of 30 s",
    timeout_s=300,
)
async def f3(lab: Lab, *, long: bool, short: bool) -> Seen:
    async with Meeting(lab) as meeting:
        await meeting.begin()
        # One of them meets a start: on a small machine another room's new process would cost every hand-over its cores.
        drains = [
            await _drained(lab, meeting, meets_a_start=number == 0)
            for number in range(2 if short else 20 if long else 5)
        ]
        await meeting.hush()
        await meeting.settle()
        integrity = meeting.integrity()
        await meeting.stop()
    gaps, exits, troubles = zip(*drains, strict=True)
    bad = [trouble for trouble in troubles if trouble]
    text = f"gap {worst(gaps)} drains, exit after {seconds(max(exits))} at worst, {integrity}"
    is_right = max(gaps) <= HAND_OVER_GAP_S and max(exits) <= GRACE_S and integrity.is_whole and not bad
    return Seen("; ".join([text, *bad[:3]]), is_right)


async def _drained(lab: Lab, meeting: Meeting, *, meets_a_start: bool) -> tuple[float, float, str]:
    """The longest speech without a caption, the time to the exit, and what else was wrong."""
    worker = await _holder(lab, meeting)
    began = time.monotonic()
    worker.terminate()
    trouble = await _start_elsewhere(lab, worker) if meets_a_start else ""
    try:
        await asyncio.to_thread(worker.wait_ended, GRACE_S + 5)
    except subprocess.TimeoutExpired:
        trouble = "the worker did not end"
        worker.kill()
    exit_s = time.monotonic() - began
    if not trouble and worker.exit_code != 0:
        trouble = f"exit code {worker.exit_code}"
    await lab.until(
        lambda: lab.subtitles_of(meeting.room) not in (None, worker.name),
        timeout_s=20,
        what="another worker has the room",
    )
    await meeting.caption_after(time.monotonic() + 1, timeout_s=20)
    gap_s = meeting.longest_unheard(began, time.monotonic())
    worker.start()
    await asyncio.to_thread(worker.wait_ready)
    await lab.until(lambda: _heard_of(lab, worker.name), timeout_s=10, what="the drained worker is back")
    return gap_s, exit_s, trouble


async def _start_elsewhere(lab: Lab, draining: LabProcess) -> str:
    """A room started during the drain is not the draining worker's."""
    async with Meeting(lab, people=("eve",)) as another:
        answer = await another.start()
        if not answer.is_2xx:
            return f"a start during the drain was answered {answer.status}"
        await another.until_state("live", timeout_s=10)
        taker = lab.subtitles_of(another.room)
        await another.stop()
    return "the draining worker took a new job" if taker == draining.name else ""


@row(
    "F4",
    fault="SIGSTOP of the worker and its jobs for 10 s, then SIGCONT",
    expected="another takes over meanwhile; the old one leaves ≤ 1 s after CONT and adds no caption; 1 agent",
    timeout_s=240,
)
async def f4(lab: Lab, *, long: bool, short: bool) -> Seen:
    rounds = [await _paused(lab, is_short=short) for _ in range(1 if short else 10 if long else 2)]
    back, left, late, agents = zip(*rounds, strict=True)
    text = (
        f"back after {worst(back)}, gone {seconds(max(left))} after CONT, "
        f"{sum(late)} captions of the old one, agents {sorted(set(agents))}"
    )
    is_right = max(left) <= LEAVES_WITHIN_S and max(back) <= PAUSED_FOR_S and not sum(late)
    return Seen(text, is_right and set(agents) == {1})


async def _paused(lab: Lab, *, is_short: bool) -> tuple[float, float, int, int]:
    async with Meeting(lab) as meeting:
        await meeting.begin()
        worker = await _holder(lab, meeting)
        old = {agent.identity for agent in await lab.agents_in(meeting.room)}
        paused_at = time.monotonic()
        worker.pause()
        await asyncio.sleep(0.3)  # what was on its way
        above = meeting.highest_sequence()
        back_s = await _back_s(meeting, above=above, since=paused_at)
        await asyncio.sleep(max(0.0, paused_at + (8 if is_short else PAUSED_FOR_S) - time.monotonic()))
        woken_at = time.monotonic()
        worker.resume()
        left_s = await _last_seen(lab, meeting.room, old) - woken_at
        late = sum(
            woken_at < caption.at and caption.segment.sequence <= above + NEW_AGENT_FROM
            for caption in meeting.captions
        )
        agents = await _agents_at_rest(lab, meeting.room)
        await meeting.stop()
    await lab.mend()
    return back_s, left_s, late, agents


async def _back_s(meeting: Meeting, *, above: int, since: float) -> float:
    """How long until the next agent's first caption; as long as we waited when none came."""
    try:
        return await meeting.caption_of_a_new_agent(above=above, timeout_s=GIVEN_UP_AFTER_S) - since
    except TimeoutError:
        return time.monotonic() - since


async def _last_seen(lab: Lab, room: str, identities: set[str]) -> float:
    """When LiveKit last listed one of them, in five seconds; as good as now if it did not."""
    last, until = time.monotonic(), time.monotonic() + WATCHED_FOR_S
    while time.monotonic() < until:
        if {agent.identity for agent in await lab.agents_in(room)} & identities:
            last = time.monotonic()
        await asyncio.sleep(0.05)
    return last


async def _agents_at_rest(lab: Lab, room: str) -> int:
    """How many are there once it is one, or after ten seconds: LiveKit lists the dead for a while."""
    deadline = time.monotonic() + 10
    while True:
        agents = len(await lab.agents_in(room))
        if agents == 1 or time.monotonic() > deadline:
            return agents
        await asyncio.sleep(0.1)


async def _holder(lab: Lab, meeting: Meeting) -> LabProcess:
    """The worker that holds the room and captions it now."""
    await meeting.until_state("live", timeout_s=20)
    await meeting.caption_after(time.monotonic(), timeout_s=20)
    holder = lab.subtitles_of(meeting.room)
    if holder is None:
        raise RuntimeError("no worker holds the room")
    return lab.process(holder)


def _heard_of(lab: Lab, worker: str) -> bool:
    """The backend had a heartbeat of its present life."""
    registered = "the backend answers heartbeats" in lab.process(worker).log()
    return (
        registered and not lab.query(f"SELECT is_draining FROM leases_worker WHERE name = '{worker}'")[0][0]
    )
