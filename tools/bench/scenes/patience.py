"""What takes its time and not much of a core: the soak, and beside it the continuity of one person's audio."""

import asyncio
from dataclasses import asdict

from tools.bench import soak
from tools.bench.captions import OURS, REFERENCE
from tools.bench.lab import Lab
from tools.bench.meeting import Gathered, Meeting, settled
from tools.bench.table import Form, Measured, Verdict, row, scene

MARKER_EVERY_S = 0.12
SESSIONS_BEGIN_S = 3.0
CONTINUITY_MOST_S = 3600.0
LOOK_AHEAD = 100
"""Fewer than there are numbers."""


@scene("patience")
async def patience(lab: Lab, form: Form) -> Measured:
    """Both in rooms, and with workers, of their own."""
    soaking = asyncio.create_task(
        soak.soak(
            lab.directory / "soak",
            seconds=form.patient_s,
            joins=form.joins,
            drop_every_s=min(60.0, form.patient_s / 3),
            leaks=lab.plant == "leaked_task",
        )
    )
    try:
        sequence = await continuity(lab, seconds=min(form.patient_s, CONTINUITY_MOST_S))
        soaked = await soaking
    finally:
        soaking.cancel()
    growth = soak.growth_mb_an_hour(soaked)
    return {
        "continuity": sequence,
        "soak": {**asdict(soaked), "growth_mb_an_hour": asdict(growth), "left": soak.leftovers(soaked)},
    }


async def continuity(lab: Lab, *, seconds: float) -> Measured:
    """One person who never pauses, every 120 ms of them numbered, against what each engine heard."""
    async with lab.contestants(OURS, REFERENCE) as contestants:
        room = await Meeting.opened(lab, people=1, contestants=contestants.values())
        await asyncio.sleep(SESSIONS_BEGIN_S)
        await room.talk(pause_s=0, every_s=MARKER_EVERY_S)
        await asyncio.sleep(seconds)
        await settled(room)
        said = [word.code for word in (await Gathered.now(lab)).words]
        heard = {name: (await lab.engines.seen(name)).connections for name in contestants}
        await room.closed(contestants.values())
    found = {
        name: {
            "connections": len(connections),
            **compared(said, [word.code for connection in connections for word in connection.words]),
        }
        for name, connections in heard.items()
    }
    return {"seconds": seconds, **found[OURS], "reference": found[REFERENCE]}


def compared(said: list[int], heard: list[int]) -> dict[str, int]:
    """How often what was heard next is what was said next; numbers come again after a while, so by position."""
    lost = repeated = strayed = at = 0
    for code in heard:
        ahead = next((n for n in range(at, min(at + LOOK_AHEAD, len(said))) if said[n] == code), None)
        if ahead is not None:
            lost, at = lost + ahead - at, ahead + 1
        elif code in said[max(0, at - LOOK_AHEAD) : at]:
            repeated += 1
        else:
            strayed += 1
    return {"said": len(said), "lost": lost + len(said) - at, "repeated": repeated, "strayed": strayed}


@row(
    "P19",
    what="audio continuity into the engine, sequence-coded tones on speech",
    goal="100 % once, in order",
    scene="patience",
)
def audio_whole(measured: Measured, form: Form) -> Verdict:
    seen = measured["continuity"]
    share = 100 * (1 - _wrong(seen) / seen["said"])
    return Verdict(
        f"{share:.2f} % of {seen['said']} tones in {seen['seconds'] / 60:.1f} min: {_told(seen)}; "
        f"reference: {_told(seen['reference'])}",
        seen["said"] > 0 and not _wrong(seen),
    )


KINDS = ("lost", "repeated", "strayed")


def _wrong(seen: Measured) -> int:
    return sum(seen[kind] for kind in KINDS)


def _told(seen: Measured) -> str:
    return ", ".join(f"{seen[kind]} {kind}" for kind in KINDS)


@row(
    "P14",
    what="soak: people come, speak and go, the engine drops every minute",
    goal="memory ≤ 1 MB/h, 0 tasks, threads, sockets, descriptors left",
    scene="patience",
)
def nothing_left(measured: Measured, form: Form) -> Verdict:
    seen = measured["soak"]
    growth, left = seen["growth_mb_an_hour"], seen["left"]
    # In ten minutes a few pages are many MB an hour: growth that cannot be told from none is none.
    is_flat = growth["value"] <= 1 or growth["low"] <= 0
    told = f"{growth['value']:.1f} [{growth['low']:.1f}, {growth['high']:.1f}] MB/h"
    return Verdict(
        f"{told}; left: {', '.join(left) or 'nothing'}; {seen['joins']} joins, {seen['drops']} drops, "
        f"{seen['words']} words in {seen['seconds'] / 60:.1f} min",
        not left and (is_flat or form.is_short),
    )
