"""The worker with our own speech server: what is said is what is read."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import jiwer
import pytest

from contract.engines import EngineSetup, EngineTestResult, EngineTestTask
from contract.status import State
from tests.agents.conftest import end_job
from tests.support.backend_double import BackendDouble
from tests.support.clips import clip, silence, words
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.speech import RunningSpeech
from tests.support.subtitles_worker import RunningWorker

API_KEY = "speech-key-of-the-tests"


@pytest.fixture(scope="module")
def speech_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSpeech]:
    with RunningSpeech(tmp_path_factory.mktemp("speech"), api_key=API_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    speech_server: RunningSpeech,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    with RunningWorker(
        Path(tmp_path_factory.mktemp("real")),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=speech_server.url,
        name="real",
        SPEECH_API_KEY=API_KEY,
    ) as worker:
        yield worker


async def test_two_people_who_speak_at_once_are_both_understood(
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease(room_name)
    voices = {"ada": "slt", "bob": "rms"}
    async with (
        Speaker(livekit_server, room_name, "ada") as ada,
        Speaker(livekit_server, room_name, "bob") as bob,
    ):
        await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
        await viewer.until(lambda v: any(n.status.state is State.LIVE for n in v.notices))
        await asyncio.gather(ada.say(clip("slt")), bob.say(clip("rms")))
        await asyncio.gather(ada.say(silence(1)), bob.say(silence(1)))
        await viewer.until(lambda v: all(_is_over(v, who) for who in voices), timeout_s=30)

    for who, voice in voices.items():
        said = " ".join(segment.text for segment in viewer.finals(who))
        assert jiwer.wer(_plain(words(voice)), _plain(said)) <= 0.25
        assert any(not c.segment.is_final for c in viewer.captions if c.sender == who)
    assert len(viewer.notices) == 1  # never in trouble
    for text in (words("slt"), words("rms")):
        assert _plain(text)[:20] not in _plain(worker.log())
    await end_job(backend_server, lease)


def _is_over(viewer: Viewer, who: str) -> bool:
    """Every segment of theirs that was begun has its final."""
    mine = [c.segment for c in viewer.captions if c.sender == who]
    return bool(mine) and {s.id for s in mine} == {s.id for s in mine if s.is_final}


def _plain(text: str) -> str:
    return " ".join("".join(c for c in text.lower() if c.isalpha() or c in " '").split())


async def test_the_embedded_engine_passes_the_test_that_keys_are_put_to(
    worker: RunningWorker, backend_server: BackendDouble
) -> None:
    test = str(uuid.uuid4())
    backend_server.offer_engine_test(
        worker.name, EngineTestTask(test=test, setup=EngineSetup(engine="embedded"), language="en")
    )

    outcome = await backend_server.engine_test_outcome(test)

    assert outcome.result is EngineTestResult.OK
    assert outcome.word_error_rate is not None and outcome.word_error_rate < 0.5
