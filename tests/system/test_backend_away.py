"""The backend is away while captions run: nobody may lose their transcriber over it."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.livekit import ROOT
from tools.chaos.lab import Lab
from tools.chaos.meeting import Meeting
from tools.chaos.steadiness import LONGEST_GAP_S, Steadiness

AWAY_S = 30.0
LOOKED_ON_S = 10.0
"""In which a keeper that trusts too soon would take the room away; it waits for 5 s of answers without a break."""
TRUSTS_AT_ONCE = """
from backend.keeper.readiness import BackendWatch

BackendWatch.has_answered_without_a_break = lambda self: True
"""


def small_lab(directory: Path, **environment: str) -> Lab:
    """One machine: SQLite, no Redis, one of each process."""
    return Lab(
        directory, database="sqlite", redis=False, backends=1, keepers=1, workers=1, plant="", **environment
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with small_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


async def test_a_backend_stopped_for_30_s_costs_no_agent_its_room(lab: Lab) -> None:
    backend = lab.process("backend-1")
    async with Meeting(lab) as meeting:
        await meeting.begin()
        steady = await Steadiness.now(lab, meeting.room)

        await asyncio.to_thread(backend.stop)
        await asyncio.sleep(AWAY_S)
        assert await steady.changes() == []
        backend.start()
        await asyncio.to_thread(backend.wait_ready)

        await asyncio.sleep(LOOKED_ON_S)
        assert await steady.changes() == []
        assert meeting.longest_unheard(steady.since, time.monotonic()) <= 2 * LONGEST_GAP_S
        await meeting.hush()
        await meeting.settle()
        assert meeting.integrity().is_whole, meeting.integrity()
    await lab.mend()


async def test_a_backend_that_hangs_for_a_while_costs_no_agent_its_room(lab: Lab) -> None:
    backend = lab.process("backend-1")
    async with Meeting(lab) as meeting:
        await meeting.begin()
        steady = await Steadiness.now(lab, meeting.room)

        backend.pause()
        await asyncio.sleep(AWAY_S / 4)
        backend.resume()

        await asyncio.sleep(LOOKED_ON_S)
        assert await steady.changes() == []
    await lab.mend()


async def test_a_keeper_that_held_silence_against_a_worker_at_once_would_be_noticed(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(TRUSTS_AT_ONCE)
    with small_lab(tmp_path / "lab", PYTHONPATH=f"{planted}:{ROOT / 'src'}") as lab:
        async with Meeting(lab) as meeting:
            await meeting.begin()
            steady = await Steadiness.now(lab, meeting.room)

            await asyncio.to_thread(lab.process("backend-1").stop)
            await asyncio.sleep(AWAY_S / 4)

            assert await steady.changes() != []
