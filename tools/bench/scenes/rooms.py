"""Four rooms with one speaking in each: what a room costs."""

import asyncio

from tools.bench import judge
from tools.bench.captions import FLOOR, OURS, REFERENCE
from tools.bench.lab import Lab
from tools.bench.meeting import Gathered, Meeting, as_measured, blocks, integrity_of, settled
from tools.bench.scenes.meeting import PSS_SETTLE_S, pss_mib
from tools.bench.table import Form, Measured, Verdict, row, scene

ROOMS = 4


@scene("rooms")
async def rooms(lab: Lab, form: Form) -> Measured:
    count = 2 if form.is_short else ROOMS
    measured: Measured = {"rooms": count, "pss_mib": []}
    async with lab.contestants(OURS, REFERENCE, FLOOR) as contestants:
        opened = []
        for _ in range(count):
            room = await Meeting.opened(lab, people=1, contestants=contestants.values())
            await room.talk()
            opened.append(room)
            # The next idle process has been started when this is measured, so each step holds one more.
            await asyncio.sleep(form.settle_s + PSS_SETTLE_S)
            measured["pss_mib"].append(await pss_mib(contestants))
        await Gathered.now(lab)
        done = await blocks(lab, contestants, form, what=f"{count} rooms, 1 speaking in each")
        await asyncio.gather(*(settled(room) for room in opened))
        gathered = await Gathered.now(lab)
        measured["blocks"] = as_measured(done, gathered)
        measured["integrity"] = integrity_of(gathered, (OURS, REFERENCE))
        for room in opened:
            await room.closed(contestants.values())
    return measured


@row("P8-rooms", what="CPU, four rooms with one speaking in each", goal="≤ 0.60 × reference", scene="rooms")
def cpu_of_rooms(measured: Measured, form: Form) -> Verdict:
    return judge.cpu_verdict(
        measured["blocks"], form, reference_limit=0.60, floor_limit=None, speakers=measured["rooms"]
    )


@row("P9-room", what="PSS of each further room", goal="≤ 0.35 × reference", scene="rooms")
def memory_of_rooms(measured: Measured, form: Form) -> Verdict:
    steps = measured["pss_mib"]
    each = {name: (steps[-1][name] - steps[0][name]) / (len(steps) - 1) for name in (OURS, REFERENCE)}
    ratio = each[OURS] / each[REFERENCE]
    return Verdict(
        f"{ratio:.2f} × reference: ours {each[OURS]:.1f}, reference {each[REFERENCE]:.1f} MiB",
        ratio <= 0.35 * form.slack,
    )
