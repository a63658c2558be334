"""One room that fills: what each further participant costs, how late captions come, and what silence costs."""

import asyncio
import statistics as plain
from collections.abc import Mapping

from tools.bench import judge, statistics, usage
from tools.bench.captions import FLOOR, OURS, REFERENCE
from tools.bench.contestants import Contestant
from tools.bench.lab import Lab
from tools.bench.meeting import Gathered, Meeting, as_measured, blocks, integrity_of, settled
from tools.bench.table import Form, Measured, Verdict, row, scene

PEOPLE = 8
DELAYS_MS = (0, 100, 300)
PSS_SETTLE_S = 3.0
QUIET_SHARE = 0.6
"""Where nobody speaks nothing varies."""


@scene("meeting")
async def meeting(lab: Lab, form: Form) -> Measured:
    measured: Measured = {"blocks": {}, "pss_mib": {}}
    async with lab.contestants(OURS, REFERENCE, FLOOR) as contestants:
        await asyncio.sleep(PSS_SETTLE_S)
        measured["pss_mib"]["idle"] = await pss_mib(contestants)
        room = await Meeting.opened(lab, people=0, contestants=contestants.values())
        measured["blocks"]["empty"] = as_measured(
            await blocks(lab, contestants, form, what="empty room", share=QUIET_SHARE)
        )
        for people in (1, 4, PEOPLE):
            await room.add(people - len(room.people))
            await room.talk()
            await asyncio.sleep(form.settle_s)
            await Gathered.now(lab)
            done = await blocks(lab, contestants, form, what=f"{people} speaking", delays_ms=DELAYS_MS)
            measured["pss_mib"][str(people)] = await pss_mib(contestants)
            await settled(room)
            gathered = await Gathered.now(lab)
            measured["blocks"][str(people)] = as_measured(done, gathered)
            measured[f"integrity {people}"] = integrity_of(gathered, (OURS, REFERENCE))
        await lab.script(delay_ms=0)
        measured["blocks"]["silent"] = as_measured(
            await blocks(lab, contestants, form, what="8 silent", share=QUIET_SHARE)
        )
        await room.mute(True)
        measured["blocks"]["muted"] = as_measured(
            await blocks(lab, contestants, form, what="8 muted", share=QUIET_SHARE)
        )
        await room.closed(contestants.values())
    return measured


async def pss_mib(contestants: Mapping[str, Contestant]) -> dict[str, float]:
    """Of whole trees."""
    return {
        name: round(await asyncio.to_thread(lambda pid: usage.pss_mib(usage.tree(pid)), each.pid), 2)
        for name, each in contestants.items()
    }


@row("P8-1", what="CPU, one room with 1 speaking", goal="≤ 0.60 × reference", scene="meeting")
def cpu_of_one(measured: Measured, form: Form) -> Verdict:
    return judge.cpu_verdict(
        measured["blocks"]["1"], form, reference_limit=0.60, floor_limit=None, speakers=1
    )


@row("P8-4", what="CPU, one room with 4 speaking", goal="≤ 0.40 × reference, ≤ 1.5 × floor", scene="meeting")
def cpu_of_four(measured: Measured, form: Form) -> Verdict:
    return judge.cpu_verdict(measured["blocks"]["4"], form, reference_limit=0.40, floor_limit=1.5, speakers=4)


@row("P8-8", what="CPU, one room with 8 speaking", goal="≤ 0.40 × reference, ≤ 1.5 × floor", scene="meeting")
def cpu_of_eight(measured: Measured, form: Form) -> Verdict:
    return judge.cpu_verdict(measured["blocks"]["8"], form, reference_limit=0.40, floor_limit=1.5, speakers=8)


@row(
    "P8-silent",
    what="CPU of a silent participant (microphone open)",
    goal="≤ 0.1 × a speaking one",
    scene="meeting",
)
def cpu_of_silence(measured: Measured, form: Form) -> Verdict:
    return _against_speaking(measured, form, state="silent")


@row("P8-muted", what="CPU of a muted participant", goal="≤ 0.1 × a speaking one", scene="meeting")
def cpu_of_muted(measured: Measured, form: Form) -> Verdict:
    return _against_speaking(measured, form, state="muted")


def _against_speaking(measured: Measured, form: Form, *, state: str) -> Verdict:
    """What eight of them add to an empty room, against what eight speaking ones add."""
    found = {name: _added_ratio(measured, form, name, state=state) for name in (OURS, REFERENCE)}
    return Verdict(f"{found[OURS]} (reference {found[REFERENCE]})", found[OURS].value <= 0.1 * form.slack)


def _added_ratio(measured: Measured, form: Form, name: str, *, state: str) -> statistics.Estimate:
    of = {
        what: judge.percent(judge.undisturbed(measured["blocks"][what], form), name)
        for what in ("empty", state, str(PEOPLE))
    }
    empty = plain.median(of["empty"])
    blocks = min(len(of[state]), len(of[str(PEOPLE)]))
    return statistics.ratios(
        [value - empty for value in of[state][:blocks]],
        [value - empty for value in of[str(PEOPLE)][:blocks]],
    )


@row("P9-idle", what="PSS of an idle worker", goal="≤ 0.75 × reference", scene="meeting")
def memory_of_idle(measured: Measured, form: Form) -> Verdict:
    idle = measured["pss_mib"]["idle"]
    ratio = idle[OURS] / idle[REFERENCE]
    return Verdict(
        f"{ratio:.2f} × reference: ours {idle[OURS]:.0f}, reference {idle[REFERENCE]:.0f} MiB", ratio <= 0.75
    )


@row("P9-participant", what="PSS of each further participant, speaking", goal="≤ 3 MB", scene="meeting")
def memory_of_participants(measured: Measured, form: Form) -> Verdict:
    pss = measured["pss_mib"]
    each = {
        name: (pss[str(PEOPLE)][name] - pss["1"][name]) * 2**20 / 1e6 / (PEOPLE - 1)
        for name in (OURS, REFERENCE)
    }
    return Verdict(f"{each[OURS]:.2f} MB (reference {each[REFERENCE]:.2f})", each[OURS] <= 3 * form.slack)


@row(
    "P1-1",
    what="speech → caption, added latency, 1 speaking",
    goal="≤ 0.75 × reference (p50)",
    scene="meeting",
)
def latency_of_one(measured: Measured, form: Form) -> Verdict:
    return _latency(measured, form, people=1)


@row(
    "P1-4",
    what="speech → caption, added latency, 4 speaking",
    goal="≤ 0.75 × reference (p50)",
    scene="meeting",
)
def latency_of_four(measured: Measured, form: Form) -> Verdict:
    return _latency(measured, form, people=4)


def _latency(measured: Measured, form: Form, *, people: int) -> Verdict:
    left = judge.undisturbed(measured["blocks"][str(people)], form)
    ours, theirs = (judge.pooled(left, "interims_ms", name) for name in (OURS, REFERENCE))
    ratio = judge.paired_ratio(ours, theirs, of=plain.median)
    worse = judge.paired_ratio(ours, theirs, of=lambda some: statistics.percentile(some, 95))
    first = {name: plain.median(judge.pooled(left, "first_words_ms", name)) for name in (OURS, REFERENCE)}
    return Verdict(
        f"{ratio} × reference (p95: {worse} ×); ours {judge.ms(ours)}; reference {judge.ms(theirs)}; "
        f"{len(ours)} words. First word after a pause, p50: ours {first[OURS]:.0f}, "
        f"reference {first[REFERENCE]:.0f} ms",
        ratio.value <= 0.75 * form.slack,
    )


@row("P2", what="engine's final → viewer", goal="p95 ≤ 15 ms, ≤ floor + 5 ms", scene="meeting")
def final_hop(measured: Measured, form: Form) -> Verdict:
    left = [block for people in ("1", "4") for block in judge.undisturbed(measured["blocks"][people], form)]
    hops = {name: judge.pooled(left, "finals_ms", name) for name in (OURS, REFERENCE, FLOOR)}
    p95 = {name: statistics.percentile(each, 95) for name, each in hops.items()}
    ok = p95[OURS] <= 15 * form.slack and p95[OURS] <= p95[FLOOR] + 5 * form.slack
    return Verdict("; ".join(f"{name} {judge.ms(each)}" for name, each in hops.items()), ok)


@row("P12", what="words in finals, 1, 4 and 8 speaking", goal="0 lost, 0 doubled", scene="meeting")
def words_whole(measured: Measured, form: Form) -> Verdict:
    return whole_verdict([measured[f"integrity {people}"] for people in (1, 4, PEOPLE)])


def whole_verdict(seen: list[Measured]) -> Verdict:
    """Of ours; what the reference lost is told."""
    total = {
        name: {kind: sum(each[name][kind] for each in seen) for kind in ("words", "lost", "doubled")}
        for name in (OURS, REFERENCE)
        if all(name in each for each in seen)
    }
    told = "; ".join(
        f"{name} {each['lost']} lost, {each['doubled']} doubled of {each['words']}"
        for name, each in total.items()
    )
    ours = total[OURS]
    return Verdict(told, ours["words"] > 0 and not ours["lost"] and not ours["doubled"])
