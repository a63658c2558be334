"""The worker as a process: it takes its jobs with it, however it ends, and ends in time."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from livekit import api

from contract.status import State
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip
from tests.support.livekit import ROOT, LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.ports import free_port
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker, alive

SPEECH = at_level(clip("slt"), 30_000)


@pytest.fixture
def health_port() -> int:
    return free_port()


@pytest.fixture
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine: SttDouble,
    health_port: int,
    tmp_path: Path,
    room_name: str,
) -> Iterator[RunningWorker]:
    """One of its own, to be ended by the test."""
    with RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine.url,
        name=f"worker-{room_name}",
        WORKER_HEALTH_PORT=str(health_port),
    ) as worker:
        yield worker


async def go_live(
    worker: RunningWorker, livekit_server: LiveKitServer, backend: BackendDouble, viewer: Viewer, room: str
) -> Lease:
    lease = backend.lease(room)
    await backend.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    await viewer.until(lambda v: v.notices)
    return lease


async def nobody_left(processes: list[psutil.Process], *, timeout_s: float) -> None:
    def wait() -> None:
        deadline = time.monotonic() + timeout_s
        while alive(processes) and time.monotonic() < deadline:
            time.sleep(0.02)

    await asyncio.to_thread(wait)
    assert alive(processes) == []


async def agent_gone(server: LiveKitServer, room: str, *, timeout_s: float) -> None:
    await _agent_is(False, server, room, timeout_s)


async def agent_there(server: LiveKitServer, room: str, *, timeout_s: float) -> None:
    await _agent_is(True, server, room, timeout_s)


async def _agent_is(there: bool, server: LiveKitServer, room: str, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s), server.api() as livekit:
        while True:
            listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
            if any(p.kind == api.ParticipantInfo.Kind.AGENT for p in listed.participants) is there:
                return
            await asyncio.sleep(0.05)


async def test_a_killed_worker_takes_its_jobs_with_it_and_leaves_no_ghost_in_the_room(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    await go_live(worker, livekit_server, backend_server, viewer, room_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH))
        await viewer.next_caption()
        family = worker.family()
        worker.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await nobody_left(family, timeout_s=3)
        await agent_gone(livekit_server, room_name, timeout_s=3)
        await saying

    assert viewer.captions[-1].at - killed < 1.5


async def test_a_killed_worker_takes_even_a_stuck_job_with_it(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    await go_live(worker, livekit_server, backend_server, viewer, room_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SPEECH[: 2 * 16_000])
        await viewer.next_final("ada")
        [job] = worker.jobs()
        family = worker.family()
        job.suspend()
        worker.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait)
        job.resume()
        await nobody_left(family, timeout_s=4)


async def test_a_killed_job_is_reported_lost_at_once_and_the_worker_goes_on(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    lease = await go_live(worker, livekit_server, backend_server, viewer, room_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SPEECH[: 2 * 16_000])
        await viewer.next_final("ada")
        [job] = worker.jobs()
        killed = time.monotonic()
        job.kill()
        lost = await backend_server.report(lease, lost=True)
        assert time.monotonic() - killed < 0.7
        assert lost.last_sequence == 1

    other = backend_server.lease(room_name, generation=2)
    await backend_server.dispatch(livekit_server, other, agent_name=worker.agent_name)
    await backend_server.report(other, state=State.LIVE)


async def test_told_to_end_an_idle_worker_is_gone_within_two_seconds(worker: RunningWorker) -> None:
    family = worker.family()

    assert worker.terminate() < 2
    assert worker.process.returncode == 0
    await nobody_left(family, timeout_s=1)


async def test_told_to_end_while_it_starts_a_worker_is_gone_within_two_seconds(
    livekit_server: LiveKitServer, backend_server: BackendDouble, engine: SttDouble, tmp_path: Path
) -> None:
    with RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine.url,
        name="starting",
        waits_for="the backend answers",
    ) as worker:
        family = worker.family()
        assert worker.terminate() < 2
        assert worker.process.returncode == 0
        await nobody_left(family, timeout_s=1)


async def test_told_to_end_while_a_job_waits_for_its_first_order_it_does_not_wait(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    lease = backend_server.lease(room_name)
    lease.order = None
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    await backend_server.report(lease, state=State.JOINING)
    await agent_there(livekit_server, room_name, timeout_s=5)

    assert await asyncio.to_thread(worker.terminate) < 3
    assert await backend_server.report(lease, lost=True)
    await agent_gone(livekit_server, room_name, timeout_s=1)


async def test_told_to_end_in_the_middle_of_a_sentence_the_sentence_gets_its_final_first(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine: SttDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    lease = await go_live(worker, livekit_server, backend_server, viewer, room_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH))
        await viewer.next_caption()
        family, asked = worker.family(), time.monotonic()
        took_s = await asyncio.to_thread(worker.terminate)
        await saying

    assert took_s < 5
    assert worker.process.returncode == 0
    await nobody_left(family, timeout_s=1)
    assert viewer.captions[-1].segment.is_final
    assert viewer.captions[-1].segment.text == " ".join(engine.utterances[-1].words)
    assert await backend_server.heartbeat(since=asked, draining=True)
    assert await backend_server.report(lease, lost=True)
    await agent_gone(livekit_server, room_name, timeout_s=1)


async def test_a_draining_worker_ends_in_time_even_when_the_engine_hangs(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine: SttDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    await go_live(worker, livekit_server, backend_server, viewer, room_name)
    engine.script.hangs = True
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH[: 3 * 16_000]))
        await engine.until(lambda e: e.utterances)
        took_s = await asyncio.to_thread(worker.terminate)
        await saying

    assert took_s < 5


async def test_a_wrong_setting_ends_the_worker_at_once_and_is_named(
    livekit_server: LiveKitServer, backend_server: BackendDouble, engine: SttDouble, tmp_path: Path
) -> None:
    worker = RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine.url,
        name="wrong",
        INTERNAL_API_SECRET="too-short",
    )
    with pytest.raises(RuntimeError, match="did not start"), worker:
        pass

    assert "INTERNAL_API_SECRET" in worker.log()
    assert "too-short" not in worker.log()
    assert worker.process.returncode == 2


def test_without_room_for_temporary_files_the_worker_says_so_and_ends() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    ended = subprocess.run(
        [sys.executable, "-m", "agents.workers.transcriber"],
        cwd=ROOT,
        env=environment
        | {"PYTHONPATH": str(ROOT / "src"), "DJANGO_ENV": "local"}
        | {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "livekit", "INTERNAL_API_SECRET": "internal"},
        capture_output=True,
        text=True,
        timeout=60,
        # As on a full disk: no file may grow.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )

    assert "temporary files cannot be written" in ended.stdout + ended.stderr
    assert ended.returncode == 1


async def test_health_is_told_on_the_port_that_was_asked_for(worker: RunningWorker, health_port: int) -> None:
    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{health_port}/", timeout=2) as answer:
            return int(answer.status)

    assert await asyncio.to_thread(ask) == 200


async def test_a_backend_that_comes_later_finds_the_worker_waiting(
    livekit_server: LiveKitServer, engine: SttDouble, tmp_path: Path
) -> None:
    backend = BackendDouble()
    with backend:
        backend.shut()
        with RunningWorker(
            tmp_path, livekit=livekit_server, backend_url=backend.url, speech_url=engine.url, name="early"
        ):
            backend.open()
            await backend.heartbeat(timeout_s=5)


async def test_a_job_refused_for_now_is_offered_to_another_worker_and_one_refused_for_good_is_not(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine: SttDouble,
    tmp_path: Path,
    room_name: str,
) -> None:
    stale, full = backend_server.lease(room_name), backend_server.lease(room_name)
    stale.claim_status, full.claim_status = 409, 503
    with RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine.url,
        name=f"second-{room_name}",
        ROOM_SUBTITLE_AGENT_NAME=worker.agent_name,
    ):
        await backend_server.dispatch(livekit_server, stale, agent_name=worker.agent_name)
        await backend_server.claimed(stale)
        await backend_server.dispatch(livekit_server, full, agent_name=worker.agent_name)
        await backend_server.claimed(full, times=2)

    assert stale.claims == 1
