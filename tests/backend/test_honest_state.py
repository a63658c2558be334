"""What GET answers and what the room is told are the same within a second, whatever becomes of worker and room."""

import signal
from collections.abc import Iterator

import pytest

from tests.backend.running_service import RunningService, Watch, watching
from tests.support.clips import at_level, clip
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker
from tests.support.subtitles_worker import RunningWorker

pytestmark = pytest.mark.timeout(90)

WITHIN_S = 1.0
SERVED_WITHIN_S = 5.0
SPEECH = at_level(clip("slt"), 30_000)


@pytest.fixture(scope="module")
def service(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("service"), livekit_server) as running:
        yield running


async def start(service: RunningService, room: str, identity: str = "ada") -> None:
    answer = await service.ask("POST", room, identity)
    assert (answer.status, answer.took_s < WITHIN_S) == (201, True), answer


async def until_all_say(
    watch: Watch, state: str, reason: str | None = None, *, timeout_s: float = 10
) -> None:
    answered = await watch.until_answered(state, reason, timeout_s=timeout_s)
    told = await watch.until_told(state, reason, timeout_s=WITHIN_S)
    assert abs(answered.at - told.at) < WITHIN_S


def kill_jobs(worker: RunningWorker) -> None:
    for job in worker.jobs():
        job.send_signal(signal.SIGKILL)


async def test_without_a_worker_it_says_so_and_goes_live_as_soon_as_one_comes(
    service: RunningService, room_name: str
) -> None:
    async with watching(service, room_name) as watch:
        await start(service, room_name)
        await until_all_say(watch, "waiting_for_worker", "no_worker", timeout_s=WITHIN_S)

        with service.worker():
            await until_all_say(watch, "live", timeout_s=SERVED_WITHIN_S)
            await service.ask("DELETE", room_name, "ada")
            await until_all_say(watch, "idle", timeout_s=WITHIN_S)

        assert watch.disagreements(within_s=WITHIN_S) == []


async def test_with_every_worker_full_it_says_so_and_goes_live_as_soon_as_one_is_free(
    service: RunningService, room_name: str
) -> None:
    elsewhere = f"{room_name}-elsewhere"
    with service.worker(SUBTITLES_CAPACITY="1"):
        async with watching(service, elsewhere, "bob") as other, watching(service, room_name) as watch:
            await start(service, elsewhere, "bob")
            await until_all_say(other, "live")
            async with Speaker(service.livekit, elsewhere, "speaker") as speaker:
                await service.until_speaking(speaker, SPEECH)
                await service.until_full()
                await start(service, room_name)
                await until_all_say(watch, "waiting_for_worker", "at_capacity", timeout_s=WITHIN_S)
            await until_all_say(watch, "live", timeout_s=SERVED_WITHIN_S)

            assert watch.disagreements(within_s=WITHIN_S) == []
            assert other.disagreements(within_s=WITHIN_S) == []


async def test_a_worker_that_is_killed_is_missed_and_another_goes_on(
    service: RunningService, room_name: str
) -> None:
    async with watching(service, room_name) as watch:
        with service.worker() as worker:
            await start(service, room_name)
            await until_all_say(watch, "live")
            worker.process.kill()
            worker.process.wait()
            await until_all_say(watch, "waiting_for_worker", "no_worker")
        with service.worker():
            await until_all_say(watch, "live", timeout_s=SERVED_WITHIN_S)

        assert watch.disagreements(within_s=WITHIN_S) == []


async def test_an_agent_whose_process_is_killed_is_followed_by_another(
    service: RunningService, room_name: str
) -> None:
    with service.worker() as worker:
        async with (
            watching(service, room_name) as watch,
            Speaker(service.livekit, room_name, "speaker"),
        ):
            await start(service, room_name)
            await until_all_say(watch, "live")
            await worker.until_logged("pipeline started")
            kill_jobs(worker)
            await watch.until_generation(2)
            await until_all_say(watch, "live")

            assert watch.disagreements(within_s=WITHIN_S) == []


async def test_a_speech_server_that_is_away_is_told_until_it_is_back(
    service: RunningService, room_name: str
) -> None:
    with service.worker():
        async with (
            watching(service, room_name) as watch,
            Speaker(service.livekit, room_name, "speaker") as speaker,
        ):
            await start(service, room_name)
            await until_all_say(watch, "live")
            await service.until_speaking(speaker, SPEECH)
            service.engine.shut()
            try:
                await until_all_say(watch, "degraded", "engine_down")
            finally:
                service.engine.open()
            await until_all_say(watch, "live")

            assert watch.disagreements(within_s=WITHIN_S) == []


async def test_a_room_encrypted_end_to_end_has_failed_and_says_why(
    service: RunningService, room_name: str
) -> None:
    with service.worker():
        async with (
            watching(service, room_name) as watch,
            Speaker(service.livekit, room_name, "secret", encryption_key=b"x" * 32),
        ):
            await start(service, room_name)
            await until_all_say(watch, "failed", "e2ee_room")

            assert watch.disagreements(within_s=WITHIN_S) == []
            await service.until_no_traces(room_name)


async def test_who_brought_the_encryption_is_gone_and_anybody_may_start_again(
    service: RunningService, room_name: str
) -> None:
    with service.worker():
        async with watching(service, room_name) as watch:
            async with Speaker(service.livekit, room_name, "secret", encryption_key=b"x" * 32):
                await start(service, room_name)
                await until_all_say(watch, "failed", "e2ee_room")
            async with Speaker(service.livekit, room_name, "speaker") as speaker:
                state = (await service.ask("GET", room_name, "ada")).json()
                assert (state["state"], state["reason"]) == ("failed", "e2ee_room")

                await start(service, room_name)
                await until_all_say(watch, "live")
                await service.until_speaking(speaker, SPEECH)

            assert watch.disagreements(within_s=WITHIN_S) == []


async def test_silence_for_too_long_ends_it_and_says_why(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory, room_name: str
) -> None:
    directory = tmp_path_factory.mktemp("impatient")
    with (
        RunningService(directory, livekit_server, SUBTITLES_IDLE_MINUTES="0.05") as service,
        service.worker(),
    ):
        async with watching(service, room_name) as watch:
            await start(service, room_name)
            await until_all_say(watch, "live")
            await until_all_say(watch, "idle", "idle")

            assert watch.disagreements(within_s=WITHIN_S) == []
            assert await service.traces(room_name) == []
