"""A worker that is told to end while people speak: another goes on where it stops."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator

import jiwer
import psutil
import pytest
from livekit import api

from tests.support.clips import clip, silence, words
from tests.support.people import Speaker, Viewer
from tests.support.stack import RunningStack

VOICES = ("slt", "rms", "awb", "kal16")
GAP_AT_MOST_S = 2.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("hand over"), SUBTITLES_WORKERS="2") as stack:
        yield stack


def worker_of(stack: RunningStack, room: str) -> str:
    with sqlite3.connect(stack.data_dir / "db.sqlite3", timeout=5) as database:
        rows = database.execute(
            "SELECT worker FROM leases_session WHERE room = ? AND ended_at IS NULL", (room,)
        ).fetchall()
    return str(rows[0][0])


async def test_captions_go_on_and_nothing_is_lost_or_doubled(stack: RunningStack, room_name: str) -> None:
    said: list[str] = []
    enough = asyncio.Event()

    async def talk(ada: Speaker) -> None:
        while not enough.is_set():
            for voice in VOICES:
                said.append(voice)
                await ada.say(clip(voice))
                await ada.say(silence(0.7))

    async with (
        Viewer(stack.livekit, room_name) as viewer,
        Speaker(stack.livekit, room_name, "ada") as ada,
    ):
        await asyncio.to_thread(stack.subtitles, "POST", room_name)
        await viewer.until(lambda v: any(n.status.state == "live" for n in v.notices))
        talking = asyncio.create_task(talk(ada))
        await viewer.next_caption()
        worker = await asyncio.to_thread(worker_of, stack, room_name)
        pid = stack.pid(worker)

        drained_at = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 12)
        ended_after_s = time.monotonic() - drained_at
        state = await asyncio.to_thread(stack.subtitles, "GET", room_name)
        enough.set()
        await talking
        await viewer.until(
            lambda v: len(" ".join(f.text for f in v.finals("ada")).split()) > 0.9 * count(said)
        )
        async with stack.livekit.api() as livekit:
            listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room_name))
            dispatches = await livekit.agent_dispatch.list_dispatch(room_name)

    finals = viewer.finals("ada")
    text = " ".join(final.text for final in sorted(finals, key=lambda final: final.sequence))
    spoken = " ".join(words(voice) for voice in said)
    first_after = next(c.at for c in viewer.captions if c.segment.sequence > 1000)
    last_before = [c.at for c in viewer.captions if c.segment.sequence < 1000][-1]
    assert (state["state"], state["generation"]) == ("live", 2)
    assert jiwer.wer(spoken, text) < 0.25
    assert 0.85 < len(text.split()) / len(spoken.split()) < 1.15
    assert first_after - last_before <= GAP_AT_MOST_S
    assert ended_after_s < 10
    assert len({final.id for final in finals}) == len(finals)
    assert [p.identity[-2:] for p in listed.participants if p.permission.agent] == ["-2"]
    assert len(dispatches) == 1


def count(said: list[str]) -> int:
    return sum(len(words(voice).split()) for voice in said)
