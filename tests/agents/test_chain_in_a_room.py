"""A worker with two engines, one of them Deepgram's wire: which of them captions, and that no word is lost between."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from contract.status import Reason, State
from tests.agents.conftest import end_job
from tests.support.backend_double import BackendDouble
from tests.support.clips import silence
from tests.support.deepgram.speech import said
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.scripted_deepgram import ScriptedDeepgram
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

KEY = "a-key-of-deepgram"
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def deepgram() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture(scope="module")
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    deepgram: ScriptedDeepgram,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    with RunningWorker(
        tmp_path_factory.mktemp("chain"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="chain",
        STT_PROVIDER="deepgram",
        STT_BASE_URL=deepgram.url,
        STT_API_KEY=KEY,
    ) as worker:
        yield worker


def words(*codes: int) -> str:
    return " ".join(f"w{code:03}" for code in codes)


def is_told(viewer: Viewer, state: State, engine: str, reason: Reason | None = None) -> bool:
    last = viewer.notices[-1].status
    return (last.state, last.engine, last.reason) == (state, engine, reason)


async def test_deepgram_captions_with_its_key_and_is_given_nothing_but_speech(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    deepgram.reset()
    deepgram.set(accepted_key=KEY)
    lease = backend_server.lease(room_name, engine="deepgram")
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.LIVE, engine="deepgram")
        for first in (10, 20, 30):
            await ada.say(np.concatenate([said(first, first + 1, first + 2), silence(1.0)]))
        await viewer.until(lambda v: len(v.finals("ada")) >= 3)
    seen = await deepgram.until(lambda s: all(c.closed_at for c in s.connections))

    assert [f.text for f in viewer.finals("ada")] == [words(n, n + 1, n + 2) for n in (10, 20, 30)]
    assert {c.segment.engine for c in viewer.captions} == {"deepgram"}
    assert {c.ending for c in seen.connections} == {"CloseStream"}
    assert sum(c.audio_s for c in seen.connections) < 3 * (
        2.0 + 0.5 + 0.6
    )  # of twelve seconds: speech, pre-roll, hangover
    assert KEY not in worker.log()
    await end_job(backend_server, lease)


async def test_the_next_engine_steps_in_with_nothing_lost_and_the_first_is_returned_to(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    engine: SttDouble,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    deepgram.reset()
    lease = backend_server.lease(room_name, engine="deepgram", fallback=("embedded",))
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.LIVE, engine="deepgram")
        await ada.say(said(10, 11))
        await viewer.until(lambda v: v.finals("ada"))
        deepgram.set(accepts=500)
        deepgram.drop_connections()
        saying = asyncio.create_task(ada.say(said(20, 21)))
        await viewer.until(lambda v: is_told(v, State.DEGRADED, "embedded", Reason.ENGINE_DOWN))
        await backend_server.report(lease, state=State.DEGRADED, reason=Reason.ENGINE_DOWN, engine="embedded")
        await saying
        await viewer.until(lambda v: len(v.finals("ada")) == 2)
        deepgram.set(accepts=None)
        for code in range(30, 60, 2):
            await ada.say(said(code, code + 1))
            if is_told(viewer, State.LIVE, "deepgram"):
                break
        await ada.say(said(90, 91))
        await viewer.until(lambda v: v.finals("ada")[-1].text.endswith(words(90, 91)))

    assert [f.engine for f in viewer.finals("ada")][:2] == ["deepgram", "embedded"]
    assert (
        engine.utterances[0].seconds >= 2.0
    )  # all of the sentence, though its beginning had gone to Deepgram
    assert is_told(viewer, State.LIVE, "deepgram")
    assert viewer.finals("ada")[-1].engine == "deepgram"
    await end_job(backend_server, lease)


@pytest.mark.parametrize(
    "garbage", ["non_json", "huge", "negative_times", "nul", "script", "wrong_types", "deep_json"]
)
async def test_what_an_engine_should_not_send_harms_no_caption(
    worker: RunningWorker,
    deepgram: ScriptedDeepgram,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
    garbage: str,
) -> None:
    deepgram.reset()
    deepgram.set(garbage=[garbage])
    lease = backend_server.lease(room_name, engine="deepgram")
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.LIVE)
        await ada.say(said(10, 11))
        await viewer.until(lambda v: any(f.text.endswith(words(10, 11)) for f in v.finals("ada")))

    assert sum(f.text.count("w010") for f in viewer.finals("ada")) == 1
    await end_job(backend_server, lease)
