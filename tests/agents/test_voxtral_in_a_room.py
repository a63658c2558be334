"""A worker whose engine is Voxtral on a scripted vLLM: what viewers read, and how its sessions end."""

import asyncio
from collections.abc import Iterator

import pytest

from contract.status import State
from contract.workers import Order
from tests.support.backend_double import BackendDouble
from tests.support.deepgram.speech import said
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.scripted_vllm import NORMAL, Script, ScriptedVllm
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

KEY = "a-key-of-vllm"
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def vllm() -> Iterator[ScriptedVllm]:
    with ScriptedVllm(key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    vllm: ScriptedVllm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    with RunningWorker(
        tmp_path_factory.mktemp("voxtral"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="voxtral",
        STT_PROVIDER="voxtral",
        STT_BASE_URL=vllm.url,
        STT_API_KEY=KEY,
    ) as worker:
        yield worker


async def test_words_come_once_past_a_session_that_hangs_without_an_error_and_every_session_ends_with_goodbye(
    worker: RunningWorker,
    vllm: ScriptedVllm,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    vllm.follow(Script(hangs_after_words=2), times=1)
    lease = backend_server.lease(room_name, engine="voxtral")
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.LIVE, engine="voxtral")
        await ada.say(said(1, 2, 3))
        await viewer.until(lambda v: v.finals("ada"), timeout_s=20)
        await ada.say(said(4, 5))
        await viewer.until(lambda v: len(v.finals("ada")) == 2)
        saying = asyncio.create_task(ada.say(said(6, 7, 8)))
        await viewer.until(lambda v: v.captions[-1].segment.text.startswith("w006"))
        lease.order = Order.LEAVE  # in the middle of the sentence
        await backend_server.report(lease, lost=True)
        await saying
    await vllm.until(lambda v: not any(session.is_open for session in v.sessions))

    assert [final.text for final in viewer.finals("ada")][:2] == ["w001 w002 w003", "w004 w005"]
    assert {caption.segment.engine for caption in viewer.captions} == {"voxtral"}
    assert len(vllm.sessions) >= 2
    assert {session.close_code for session in vllm.sessions} == {NORMAL}
    assert vllm.violations == []
    assert KEY not in worker.log()
