"""Ours over the wire of our own speech server, which takes each frame of 20 ms."""

import asyncio

from tools.bench import judge, statistics
from tools.bench.captions import OURS
from tools.bench.lab import Lab
from tools.bench.meeting import Gathered, Meeting, as_measured, blocks, integrity_of, settled
from tools.bench.scenes.meeting import whole_verdict
from tools.bench.table import Form, Measured, Verdict, row, scene

DELAYS_MS = (0, 100, 300)


@scene("realtime")
async def realtime(lab: Lab, form: Form) -> Measured:
    measured: Measured = {"blocks": {}}
    async with lab.contestants(OURS, embedded=True) as contestants:
        room = await Meeting.opened(lab, people=0, contestants=contestants.values())
        for people in (1, 4):
            await room.add(people - len(room.people))
            await room.talk()
            await asyncio.sleep(form.settle_s)
            await Gathered.now(lab)
            done = await blocks(
                lab, contestants, form, what=f"own wire, {people} speaking", delays_ms=DELAYS_MS
            )
            await settled(room)
            gathered = await Gathered.now(lab, embedded=True)
            measured["blocks"][str(people)] = as_measured(done, gathered)
            measured[f"integrity {people}"] = integrity_of(gathered, (OURS,))
        await room.closed(contestants.values())
    return measured


GOAL = "p50 ≤ 75 ms, p95 ≤ 85 ms"


@row(
    "P1-own-1",
    what="speech → caption, added latency, own realtime client, 1 speaking",
    goal=GOAL,
    scene="realtime",
)
def latency_of_one(measured: Measured, form: Form) -> Verdict:
    return _latency(measured, form, people=1)


@row(
    "P1-own-4",
    what="speech → caption, added latency, own realtime client, 4 speaking",
    goal=GOAL,
    scene="realtime",
)
def latency_of_four(measured: Measured, form: Form) -> Verdict:
    return _latency(measured, form, people=4)


@row("P2-own", what="engine's final → viewer, own realtime client", goal="p95 ≤ 15 ms", scene="realtime")
def final_hop(measured: Measured, form: Form) -> Verdict:
    hops = [
        hop
        for people in ("1", "4")
        for hop in judge.pooled(judge.undisturbed(measured["blocks"][people], form), "finals_ms", OURS)
    ]
    return Verdict(judge.ms(hops), statistics.percentile(hops, 95) <= 15 * form.slack)


@row("P12-own", what="words in finals, own realtime client", goal="0 lost, 0 doubled", scene="realtime")
def words_whole(measured: Measured, form: Form) -> Verdict:
    return whole_verdict([measured[f"integrity {people}"] for people in (1, 4)])


def _latency(measured: Measured, form: Form, *, people: int) -> Verdict:
    left = judge.undisturbed(measured["blocks"][str(people)], form)
    added, first = (judge.pooled(left, kind, OURS) for kind in ("interims_ms", "first_words_ms"))
    p50, p95 = (statistics.percentile(added, percent) for percent in (50, 95))
    first_p50 = statistics.percentile(first, 50)
    told = f"{judge.ms(added)}; {len(added)} words. First word after a pause, p50: {first_p50:.0f} ms"
    return Verdict(told, p50 <= 75 * form.slack and p95 <= 85 * form.slack)
