"""From a viewer's final to its row, and whether finals that were seen outlive the worker that was killed."""

import asyncio
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from tools.chaos import record
from tools.chaos.lab import Lab
from tools.chaos.marked import MarkedMeeting
from tools.chaos.processes import LabProcess

PEOPLE = ("ada", "ben", "cyd", "dan")
FINAL_AT_LEAST_EVERY_S = 1.0
"""Of the scripted engine, so that there are many."""
BE_LATE = """
CREATE FUNCTION be_late() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END' LANGUAGE plpgsql;
CREATE TRIGGER late AFTER INSERT ON transcripts_line FOR EACH STATEMENT EXECUTE FUNCTION be_late();
"""
COMMITTED = """
SELECT segment_id, revision, extract(epoch FROM pg_xact_commit_timestamp(transcripts_line.xmin))::float8
FROM transcripts_line JOIN meetings_meeting ON meeting_id = meetings_meeting.id WHERE room = '{room}'
"""
FINALS_COME_WITHIN_S = 15.0
BACK_WITHIN_S = 40.0
BURNT_SPOOL, LATE_COMMIT = "burnt_spool", "late_commit"


def _lab(directory: Path, *, workers: int) -> Lab:
    return Lab(directory, workers=workers, backends=1, keepers=1, redis=False, engine="scripted")


async def commit_lags(directory: Path, *, finals: int, plant: str) -> dict[str, Any]:
    """Seconds from a viewer's final to its commit by PostgreSQL's own time stamp; below 0: the row was there first.

    One machine, one CLOCK_REALTIME; what is committed is on the disk.
    """
    with _lab(directory, workers=1) as lab:
        await asyncio.to_thread(lab.query, "ALTER SYSTEM SET fsync = on")
        await asyncio.to_thread(lab.query, "SELECT pg_reload_conf()")
        if plant == LATE_COMMIT:
            await asyncio.to_thread(lab.query, BE_LATE)
        await lab.engine.script(max_final_s=FINAL_AT_LEAST_EVERY_S)
        async with MarkedMeeting(lab, people=PEOPLE) as meeting:
            await record.keep(meeting)
            await meeting.begin()
            while len(seen_at(meeting)) < finals:
                count = len(seen_at(meeting))
                await meeting.viewer.until(
                    lambda _, count=count: len(seen_at(meeting)) > count, timeout_s=FINALS_COME_WITHIN_S
                )
            await meeting.hush()
            account, whole = await meeting.settled(), await record.settled(meeting)
            rows = await asyncio.to_thread(lab.query, COMMITTED.format(room=meeting.room))
            seen, to_utc = seen_at(meeting), time.time() - time.monotonic()
    lags_s = [
        at - (seen[str(id), revision] + to_utc) for id, revision, at in rows if (str(id), revision) in seen
    ]
    return {"lags_s": lags_s, "words": str(account), "record": vars(whole), "told": str(whole)}


def seen_at(meeting: MarkedMeeting) -> dict[tuple[str, int], float]:
    """When each final, by segment and revision, was first shown (monotonic)."""
    found: dict[tuple[str, int], float] = {}
    for caption in meeting.captions:
        if caption.segment.is_final and not caption.segment.is_backlog:
            found.setdefault((caption.segment.id, caption.segment.revision), caption.at)
    return found


async def killed(directory: Path, *, kills: int, seed: int, plant: str) -> dict[str, Any]:
    """SIGKILL of the main process, of the job, of both; every second time the backend does not take finals then."""
    chance = random.Random(seed)
    with _lab(directory, workers=2) as lab:
        await lab.engine.script(max_final_s=FINAL_AT_LEAST_EVERY_S)
        unsent = 0
        async with MarkedMeeting(lab, people=PEOPLE[:2]) as meeting:
            await record.keep(meeting)
            await meeting.begin()
            for number in range(kills):
                unsent += await _one_killed(lab, meeting, number, chance, plant=plant)
            await meeting.hush()
            await meeting.settled(timeout_s=1)
            whole = await record.settled(meeting)
    return {"kills": kills, "unsent": unsent, "record": vars(whole), "told": str(whole)}


async def _one_killed(
    lab: Lab, meeting: MarkedMeeting, number: int, chance: random.Random, *, plant: str
) -> int:
    """Until captions are back; how many finals had been seen and not stored when it was killed."""
    backend, worker = lab.process("backend-1"), lab.process(lab.subtitles_of(meeting.room) or "")
    job = lab.job_of(meeting.room)
    is_away = bool(number % 2)
    if is_away:
        await asyncio.to_thread(backend.kill)
    await _a_final(meeting)
    await asyncio.sleep(chance.uniform(0, 0.5 if is_away else 0.05))
    killed_at = time.monotonic()
    _kill((("main", "job"), ("job",), ("main",))[number % 3], worker, job)
    unsent = (await asyncio.to_thread(record.record_of, meeting)).lost
    if plant == BURNT_SPOOL:
        await asyncio.to_thread(shutil.rmtree, lab.spool_of(worker.name), True)
    for process in (backend, worker):
        process.start()
        await asyncio.to_thread(process.wait_ready)
    resumed = await meeting.resumed(killed_at + 1, timeout_s=BACK_WITHIN_S)
    if max(resumed.values()) == float("inf"):
        raise TimeoutError(f"no captions {BACK_WITHIN_S:g} s after kill {number + 1}")
    return unsent


async def _a_final(meeting: MarkedMeeting) -> None:
    """The next one."""
    count = len(seen_at(meeting))
    await meeting.viewer.until(lambda _: len(seen_at(meeting)) > count, timeout_s=FINALS_COME_WITHIN_S)


def _kill(who: tuple[str, ...], worker: LabProcess, job: int) -> None:
    if "job" in who:
        os.kill(job, signal.SIGKILL)
    if "main" in who:
        worker.kill()
