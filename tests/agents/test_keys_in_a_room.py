"""Keys that the backend hands out: held in memory, and replaced while people speak with no word lost or doubled."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.engines import EnginesCause, EngineSetup
from contract.status import Reason, State
from tests.agents.conftest import end_job
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import clip, silence
from tests.support.deepgram.markers import with_markers
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.scripted_deepgram import ScriptedDeepgram
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

KEY_A, KEY_B = "the-key-before", "the-key-after"
EMBEDDED = EngineSetup(engine="embedded")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def deepgram_server() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture
def deepgram(deepgram_server: ScriptedDeepgram) -> ScriptedDeepgram:
    deepgram_server.reset()
    return deepgram_server


@pytest.fixture(scope="module")
def worker_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    deepgram_server: ScriptedDeepgram,
    worker_directory: Path,
) -> Iterator[RunningWorker]:
    """In production, where typed addresses are judged; one is vouched for."""
    with RunningWorker(
        worker_directory,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="keys",
        ENGINE_ALLOWED_HOSTS=f"127.0.0.1:{deepgram_server.port}",
        TMPDIR=str(worker_directory),
    ) as worker:
        yield worker


def keyed(deepgram: ScriptedDeepgram, key: str, *, base_url: str = "") -> EngineSetup:
    return EngineSetup(engine="deepgram", base_url=base_url or deepgram.url, api_key=key, is_typed=True)


def said(*codes: int, pause_s: float = 1.0) -> np.ndarray:
    """A word for each second, and a pause."""
    talk = np.resize(clip("slt"), len(codes) * RATE_HZ)
    marked = with_markers(talk, [(0.5 + at, code) for at, code in enumerate(codes)])
    return np.concatenate([marked, silence(pause_s)])


def words(*codes: int) -> list[str]:
    return [f"w{code:03}" for code in codes]


def spoken(viewer: Viewer, identity: str) -> list[str]:
    """All finals' words."""
    return " ".join(final.text for final in viewer.finals(identity)).split()


def is_told(viewer: Viewer, state: State, engine: str, reason: Reason | None = None) -> bool:
    if not viewer.notices:
        return False
    last = viewer.notices[-1].status
    return (last.state, last.engine, last.reason) == (state, engine, reason)


async def live(lease: Lease, worker: RunningWorker, server: LiveKitServer, backend: BackendDouble) -> None:
    await backend.dispatch(server, lease, agent_name=worker.agent_name)
    await backend.report(lease, state=State.LIVE)


async def test_a_key_is_replaced_while_people_speak_and_every_word_is_captioned_once(
    worker: RunningWorker,
    worker_directory: Path,
    deepgram: ScriptedDeepgram,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    deepgram.set(accepted_key=KEY_A)
    lease = backend_server.lease(room_name, engine="deepgram", fallback=("embedded",))
    lease.equip(keyed(deepgram, KEY_A), EMBEDDED, glossary=("Roomscribe",))
    await live(lease, worker, livekit_server, backend_server)
    async with (
        Speaker(livekit_server, room_name, "ada", name="Ada Lovelace") as ada,
        Speaker(livekit_server, room_name, "ben") as ben,
    ):
        saying = asyncio.gather(
            ada.say(said(10, 11, 12, 13, 14)),
            ben.say(np.concatenate([said(20, 21), said(22, 23)])),
        )
        await viewer.until(lambda v: {"ada", "ben"} <= {c.sender for c in v.captions})
        deepgram.set(accepted_key=KEY_B)
        lease.equip(keyed(deepgram, KEY_B), EMBEDDED, glossary=("Eventyay",))
        await backend_server.engines_asked(lease, EnginesCause.CHANGED)
        await saying
        await asyncio.gather(ada.say(said(30, 31)), ben.say(said(40, 41)))
        await viewer.until(lambda v: "w031" in spoken(v, "ada") and "w041" in spoken(v, "ben"))
    seen = await deepgram.until(lambda s: all(c.closed_at for c in s.connections))
    report = await backend_server.report(lease, state=State.LIVE, since=time.monotonic() + 1.1)

    assert spoken(viewer, "ada") == words(10, 11, 12, 13, 14, 30, 31)
    assert spoken(viewer, "ben") == words(20, 21, 22, 23, 40, 41)
    assert {c.segment.engine for c in viewer.captions} == {"deepgram"}
    assert {c.key for c in seen.connections} == {KEY_A, KEY_B}
    assert {c.ending for c in seen.connections} == {"CloseStream"}  # nobody was cut off
    assert {a.status for a in seen.attempts} == {101}
    assert all(n.status.state is State.LIVE for n in viewer.notices)
    assert lease.engines_asked == [EnginesCause.START, EnginesCause.CHANGED]
    assert {(c.key, c.query["keyterm"].partition(",")[0]) for c in seen.connections} == {
        (KEY_A, "Roomscribe"),
        (KEY_B, "Eventyay"),
    }
    assert all("Ada Lovelace" in c.query["keyterm"] for c in seen.connections)
    [usage] = report.engine_audio
    assert usage.engine == "deepgram"
    assert usage.audio_ms == pytest.approx(1000 * sum(c.audio_s for c in seen.connections), abs=100)
    assert_kept_in_memory(worker, worker_directory, KEY_A, KEY_B)
    await end_job(backend_server, lease)


def assert_kept_in_memory(worker: RunningWorker, directory: Path, *keys: str) -> None:
    """Nor what processes are told when they start."""
    processes = [worker.process.pid, *(process.pid for process in worker.family())]
    told = [Path(f"/proc/{pid}/{of}").read_bytes() for pid in processes for of in ("cmdline", "environ")]
    files = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    assert files and len(told) > 2
    for key in keys:
        assert not any(key.encode() in each for each in (*files, *told))


async def test_a_wrong_key_is_asked_for_again_and_its_correction_works_at_once(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    engine: SttDouble,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    deepgram.set(accepted_key=KEY_B)
    lease = backend_server.lease(room_name, engine="deepgram", fallback=("embedded",))
    lease.equip(keyed(deepgram, KEY_A), EMBEDDED)
    await live(lease, worker, livekit_server, backend_server)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(said(10, 11))
        await viewer.until(lambda v: v.finals("ada"))
        assert is_told(viewer, State.DEGRADED, "embedded", Reason.ENGINE_AUTH)
        await backend_server.engines_asked(lease, EnginesCause.REFUSED)
        lease.equip(keyed(deepgram, KEY_B), EMBEDDED)
        corrected = time.monotonic()
        await viewer.until(lambda v: is_told(v, State.LIVE, "deepgram"))
        assert time.monotonic() - corrected < 2
        await ada.say(said(20, 21))
        await viewer.until(lambda v: "w021" in spoken(v, "ada"))

    assert [f.engine for f in viewer.finals("ada")] == ["embedded", "deepgram"]
    assert lease.engines_asked.count(EnginesCause.REFUSED) == 1
    assert [a.status for a in deepgram.seen().attempts] == [401, 101]
    await end_job(backend_server, lease)


async def test_when_the_months_budget_is_spent_the_next_engine_goes_on_in_the_middle_of_a_sentence(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    engine: SttDouble,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease(room_name, engine="deepgram", fallback=("embedded",))
    lease.equip(keyed(deepgram, KEY_A), EMBEDDED)
    await live(lease, worker, livekit_server, backend_server)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(said(10, 11, 12, 13, 14, 15)))
        await viewer.next_caption()
        lease.equip(EMBEDDED, is_budget_spent=True)
        await deepgram.until(lambda s: all(c.closed_at for c in s.connections), timeout_s=2.5)
        assert not saying.done()
        await saying
        await viewer.until(lambda v: v.finals("ada"))
        last = await backend_server.report(
            lease, state=State.DEGRADED, engine="embedded", since=time.monotonic() + 1.1
        )

    assert is_told(viewer, State.DEGRADED, "embedded", Reason.BUDGET_SPENT)
    assert last.reason is Reason.BUDGET_SPENT
    assert len(viewer.finals("ada")) == 1  # one line, begun by one engine and ended by the other
    assert engine.utterances[-1].seconds >= 6.0  # all that no final had confirmed
    assert [used.engine for used in last.engine_audio] == ["deepgram", "embedded"]
    await end_job(backend_server, lease)


async def test_a_typed_address_on_our_own_machine_is_never_connected_to(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    engine: SttDouble,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease(room_name, engine="deepgram", fallback=("embedded",))
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        url = f"http://localhost:{canary.getsockname()[1]}/v1/listen"
        lease.equip(keyed(deepgram, KEY_A, base_url=url), EMBEDDED)
        await live(lease, worker, livekit_server, backend_server)
        async with Speaker(livekit_server, room_name, "ada") as ada:
            await ada.say(said(10, 11))
            await viewer.until(lambda v: v.finals("ada"))
        with pytest.raises(BlockingIOError):
            canary.accept()

    assert is_told(viewer, State.DEGRADED, "embedded", Reason.ENGINE_AUTH)
    await end_job(backend_server, lease)


async def test_with_a_backend_that_knows_no_keys_the_workers_environment_has_them(
    worker: RunningWorker,
    engine: SttDouble,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    backend_server.knows_engines = False
    try:
        lease = backend_server.lease(room_name)
        await live(lease, worker, livekit_server, backend_server)
        async with Speaker(livekit_server, room_name, "ada") as ada:
            await ada.say(said(10))
            await viewer.until(lambda v: v.finals("ada"))
    finally:
        backend_server.knows_engines = True

    assert lease.engines_asked == []
    # And when it is another one, it is asked.
    await backend_server.engines_asked(lease, EnginesCause.CHANGED)
    await end_job(backend_server, lease)


@pytest.mark.parametrize(("status", "is_for_good"), [(409, True), (503, False), (500, False)])
async def test_without_its_engines_no_job_begins(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
    status: int,
    is_for_good: bool,
) -> None:
    lease = backend_server.lease(room_name)
    lease.engines_status = status
    sentence = "refused for good" if is_for_good else "refused for now"
    before = worker.log().count(sentence)
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    await worker.until_logged(sentence, times=before + 1)

    assert lease.engines_asked[0] is EnginesCause.START
    assert backend_server.reports(lease) == []
