"""`python -m tools.bench_history`: reading from a long history in PostgreSQL; 0 when every goal is met.

In the environment: BENCH_ROOMS=1000 meetings of BENCH_SEGMENTS=10000 lines each, as many of them as can be loaded in
BENCH_LOAD_MINUTES=30; BENCH_READS=300 of each kind; BENCH_OUT=file.json for the raw results, BENCH_DIR to keep the logs
in, BENCH_PLANT=no_index for a defect that must show.
"""

import asyncio
import os
import random
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from livekit import api

from tests.support.people import joined
from tools.bench import judge, report
from tools.bench.lab import tell
from tools.bench.report import chosen
from tools.bench.statistics import percentile
from tools.bench.table import DEFAULT, Form, Measured, Row, Verdict
from tools.bench_history import load, measure
from tools.chaos.lab import Lab

PLANTS = ("", "no_index")
NO_INDEX = (
    "ALTER TABLE transcripts_line DROP CONSTRAINT one_line_per_change",
    "ALTER TABLE transcripts_line DROP CONSTRAINT one_line_per_segment",
    "DROP INDEX lines_in_order",
)
LIVE_ROOMS = 8
READER = "reader"
ACCOUNT = """
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
user = get_user_model().objects.create_superuser("bench", "", "x" * 20)
print("token", Token.objects.create(user=user).key)
"""
PAGE_GOAL_MS, SPEED_GOAL_MB_S, MEMORY_GOAL_MB = 50, 10, 20


@dataclass(frozen=True, kw_only=True)
class Wanted:
    rooms: int
    segments: int
    load_s: float
    reads: int
    plant: str
    out: str | None


def wanted(environment: Mapping[str, str]) -> Wanted:
    return Wanted(
        rooms=int(environment.get("BENCH_ROOMS", "1000")),
        segments=int(environment.get("BENCH_SEGMENTS", "10000")),
        load_s=60 * float(environment.get("BENCH_LOAD_MINUTES", "30")),
        reads=int(environment.get("BENCH_READS", "300")),
        plant=chosen("BENCH_PLANT", environment.get("BENCH_PLANT", ""), PLANTS),
        out=environment.get("BENCH_OUT"),
    )


async def measured(wanted: Wanted, directory: Path) -> Measured:
    with Lab(directory, workers=0, backends=1, keepers=0, redis=False) as lab:
        async with AsyncExitStack() as inside:
            names = [lab.new_room() for _ in range(min(LIVE_ROOMS, wanted.rooms))]
            for name in names:
                await inside.enter_async_context(joined(lab.livekit, name, READER))
            rooms = [*await _live(lab, names), *_over(wanted.rooms - len(names))]
            tell(f"… {len(rooms)} rooms of {wanted.segments} lines")
            loaded = await asyncio.to_thread(
                load.loaded, lab.database_url, rooms, segments=wanted.segments, within_s=wanted.load_s
            )
            tell(f"  {loaded.lines} lines, {loaded.gigabytes:.2f} GB in {loaded.seconds:.0f} s")
            if wanted.plant == "no_index":
                for statement in NO_INDEX:
                    await asyncio.to_thread(lab.query, statement)
            reading = await _reading(lab, [room for room in loaded.rooms if room.goes_on])
            reads = await asyncio.to_thread(
                measure.reads, reading, loaded, times=wanted.reads, chance=random.Random(1)
            )
            tell(f"  {pages_soon({**_size(loaded), 'reads_ms': reads}, DEFAULT).text}")
            exports = await asyncio.to_thread(
                measure.exports, reading, pid=lab.process("backend-1").pid, times=max(5, wanted.reads // 20)
            )
    return {**_size(loaded), "load_s": loaded.seconds, "reads_ms": reads, "exports": exports}


def _size(loaded: load.Loaded) -> Measured:
    return {"rooms": len(loaded.rooms), "lines": loaded.lines, "gigabytes": loaded.gigabytes}


async def _live(lab: Lab, names: Sequence[str]) -> list[load.Room]:
    async with lab.livekit.api() as lkapi:
        listed = await lkapi.room.list_rooms(api.ListRoomsRequest(names=list(names)))
    return [
        load.Room(meeting=uuid.uuid4(), name=room.name, sid=room.sid, goes_on=True) for room in listed.rooms
    ]


def _over(count: int) -> list[load.Room]:
    return [
        load.Room(meeting=uuid.uuid4(), name=f"history-{number}", sid=f"RM_{number}", goes_on=False)
        for number in range(count)
    ]


async def _reading(lab: Lab, rooms: Sequence[load.Room]) -> measure.Reading:
    said = await lab.manage("shell", "--command", ACCOUNT)
    return measure.Reading(
        client=measure.Client(lab.backend_urls[0]),
        rooms=rooms,
        tokens={
            room.name: f"Bearer {lab.livekit.token(room.name, READER, room_admin=True)}" for room in rooms
        },
        account=f"Token {said.rpartition('token ')[2].split()[0]}",
        database_url=lab.database_url,
    )


# What is promised


def pages_soon(measured: Measured, _: Form) -> Verdict:
    reads = measured["reads_ms"]
    text = "; ".join(f"{name} {judge.ms(took)}" for name, took in reads.items())
    size = f"{measured['rooms']} rooms, {measured['lines']} lines, {measured['gigabytes']:.2f} GB"
    return Verdict(f"{text}. {size}", percentile(reads["page"], 95) <= PAGE_GOAL_MS)


def exports_stream(measured: Measured, _: Form) -> Verdict:
    found = measured["exports"]
    told, ok = [], True
    for format in measure.FORMATS:
        speed, grown = percentile(found[format]["mb_per_s"], 50), max(found[format]["grown_mb"])
        told.append(f"{format} {speed:.1f} MB/s, +{grown:.1f} MB ({found[format]['mb'][0]:.1f} MB each)")
        ok = ok and speed >= SPEED_GOAL_MB_S and grown <= MEMORY_GOAL_MB
    plain = percentile(found["plain SQL"]["mb_per_s"], 50)
    return Verdict(f"{'; '.join(told)}; the rows by plain SQL {plain:.1f} MB/s", ok)


ROWS = (
    Row(
        id="P15-page",
        what=f"a page of {measure.PAGE} lines over REST, and other reads",
        goal=f"page p95 ≤ {PAGE_GOAL_MS} ms",
        scene="history",
        judge=pages_soon,
    ),
    Row(
        id="P15-export",
        what="a whole transcript as TXT, VTT, SRT, JSON (medians)",
        goal=f"≥ {SPEED_GOAL_MB_S} MB/s with ≤ {MEMORY_GOAL_MB} MB more memory",
        scene="history",
        judge=exports_stream,
    ),
)


def run(wanted: Wanted, directory: Path) -> int:
    return report.reported(
        lambda: {"history": asyncio.run(measured(wanted, directory))}, ROWS, DEFAULT, out=wanted.out
    )


def main(environment: Mapping[str, str]) -> int:
    return report.main(environment, wanted=wanted, run=run)


if __name__ == "__main__":
    sys.exit(main(os.environ))
