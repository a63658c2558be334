"""A second after a stop was answered nothing of the agent is left, at whatever moment it came."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.backend.running_backend import Answer
from tests.backend.running_service import RunningService
from tests.support.livekit import LiveKitServer
from tests.support.people import joined
from tests.support.subtitles_worker import RunningWorker

pytestmark = pytest.mark.timeout(180)

GONE_WITHIN_S = 1.0
IDLE_WITHIN_S = 3.0
LATE_JOIN_WITHIN_S = 2.5
"""A job that was held up joins by then, if it does."""


@pytest.fixture(scope="module")
def service(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("service"), livekit_server) as running:
        yield running


async def until_state(service: RunningService, room: str, *states: str, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while (await service.ask("GET", room, "ada")).json()["state"] not in states:
            pass


async def until_generation(service: RunningService, room: str, generation: int) -> None:
    async with asyncio.timeout(10):
        while (await service.ask("GET", room, "ada")).json()["generation"] < generation:
            pass


async def start(service: RunningService, room: str) -> None:
    answer = await service.ask("POST", room, "ada", {"language": "en"})
    assert answer.status == 201, answer.text


async def assert_gone_in_time(service: RunningService, room: str, stopped: Answer) -> None:
    """One second after the answer; it is `stopping` no longer than a worker holds a job that has not joined."""
    await asyncio.sleep(GONE_WITHIN_S)
    assert (stopped.status, await service.traces(room)) == (200, [])
    await until_state(service, room, "idle", timeout_s=IDLE_WITHIN_S)


async def assert_stays_gone(service: RunningService, room: str) -> None:
    """An idle room has no agent, however long one was held up."""
    looked_until_s = time.monotonic() + LATE_JOIN_WITHIN_S
    while time.monotonic() < looked_until_s:
        state = (await service.ask("GET", room, "ada")).json()["state"]
        traces = await service.traces(room)
        assert state == "stopping" or traces == [], state
    assert state == "idle"


async def test_stops_that_race_starts(service: RunningService, room_name: str) -> None:
    """Three rooms at a time: for the second and third no warm process is left, so that they join slowly."""
    moments = random.Random(4)

    async def race(room: str, *, after_s: float) -> None:
        async with joined(service.livekit, room, "ada"):
            await start(service, room)
            await asyncio.sleep(after_s)
            await assert_gone_in_time(service, room, await service.ask("DELETE", room, "ada"))

    with service.worker():
        for number in range(10):
            async with asyncio.TaskGroup() as rooms:
                for which in "abc":
                    room = f"{room_name}-{number}{which}"
                    rooms.create_task(race(room, after_s=moments.uniform(0, 1.5)))


async def test_a_stop_of_what_has_been_claimed_before_its_job_has_joined(
    service: RunningService, room_name: str
) -> None:
    with service.worker() as worker:
        async with joined(service.livekit, room_name, "ada"):
            jobs = worker.family()
            for job in jobs:
                job.send_signal(signal.SIGSTOP)
            try:
                await start(service, room_name)
                await until_state(service, room_name, "joining")
                stopped = await service.ask("DELETE", room_name, "ada")
            finally:
                for job in jobs:
                    job.send_signal(signal.SIGCONT)
            assert stopped.status == 200
            await assert_stays_gone(service, room_name)


@asynccontextmanager
async def live(service: RunningService, room: str) -> AsyncIterator[RunningWorker]:
    """A room that one worker, and no other, transcribes."""
    with service.worker() as worker:
        async with joined(service.livekit, room, "ada"):
            await start(service, room)
            await until_state(service, room, "live")
            yield worker


async def test_a_stop_while_it_is_dispatched_again_and_again(service: RunningService, room_name: str) -> None:
    """A paused worker swallows what LiveKit offers it, and finds the offers when it goes on."""
    with service.worker() as worker:
        async with joined(service.livekit, room_name, "ada"):
            worker.process.send_signal(signal.SIGSTOP)
            try:
                await start(service, room_name)
                await until_generation(service, room_name, 2)
                stopped = await service.ask("DELETE", room_name, "ada")
            finally:
                worker.process.send_signal(signal.SIGCONT)
            await assert_gone_in_time(service, room_name, stopped)
            await assert_stays_gone(service, room_name)


async def test_a_stop_of_what_is_live(service: RunningService, room_name: str) -> None:
    async with live(service, room_name):
        stopped = await service.ask("DELETE", room_name, "ada")
        assert stopped.json()["state"] == "idle"
        assert await service.traces(room_name) == []
        await assert_stays_gone(service, room_name)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda end: end.name)
async def test_a_stop_that_races_the_end_of_its_worker(
    service: RunningService, room_name: str, end: signal.Signals
) -> None:
    async with live(service, room_name) as worker:
        worker.process.send_signal(end)
        stopped = await service.ask("DELETE", room_name, "ada")
        await assert_gone_in_time(service, room_name, stopped)
        worker.process.send_signal(signal.SIGCONT)
        await assert_stays_gone(service, room_name)


@pytest.mark.parametrize("after_s", [0.2, 1.0])
async def test_a_stop_that_races_a_hand_over(service: RunningService, room_name: str, after_s: float) -> None:
    async with live(service, room_name) as worker:
        with service.worker():
            worker.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(after_s)
            await assert_gone_in_time(service, room_name, await service.ask("DELETE", room_name, "ada"))
            await assert_stays_gone(service, room_name)
