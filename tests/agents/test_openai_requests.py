"""The client of OpenAI's requests by itself, against a scripted server, and against our own speech server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, stt
from livekit.plugins.openai import STT as LiveKitSTT

from agents.runtime.errors import EngineFull, EngineLost
from agents.stt.openai import OpenAIOptions, OpenAISTT
from agents.stt.registry import ENGINES, Surroundings
from contract.engines import EngineSetup
from tests.support.clips import clip, silence, words
from tests.support.engines.listening import ONCE, fault_of, heard, said, texts
from tests.support.engines.microphone import push, utterance
from tests.support.ports import free_port
from tests.support.scripted_openai import Script, ScriptedOpenAI, SeenRequest
from tests.support.speech import MODEL, RunningSpeech
from tests.support.words import word_error_rate

KINDS = stt.SpeechEventType
KEY = "a-key-that-nobody-may-see"
ONE, TWO = utterance(1, 2, 3), utterance(4, 5)
SOON_S = 0.05


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI(key=KEY) as engine:
        yield engine


@pytest.fixture
def scripted(scripted_server: ScriptedOpenAI) -> Iterator[ScriptedOpenAI]:
    """The server, behaving; whatever it was to do, its client has kept to the wire."""
    scripted_server.behave()
    yield scripted_server
    assert scripted_server.violations == []


Make = Callable[..., OpenAISTT]


@pytest.fixture
async def client(scripted: ScriptedOpenAI) -> AsyncIterator[Make]:
    """Makes clients of that server."""
    made = []

    def make(*, vocabulary: Callable[[], tuple[str, ...]] = tuple, **options: Any) -> OpenAISTT:
        engine = OpenAISTT(
            OpenAIOptions(base_url=scripted.url, api_key=KEY, **options), vocabulary=vocabulary
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.aclose()


def answered(scripted: ScriptedOpenAI) -> SeenRequest:
    [request] = scripted.answered
    return request


async def test_an_utterance_is_one_upload_with_all_that_helps(scripted: ScriptedOpenAI, client: Make) -> None:
    events = await said(client(vocabulary=lambda: ("Ada", "Roomscribe")), ONE, language="en-GB")

    assert texts(events) == ["w001 w002 w003"]
    request = answered(scripted)
    assert (request.key, request.audio_s) == (KEY, 1.6)
    assert request.fields == [
        ("model", "whisper-1"),
        ("response_format", "verbose_json"),
        ("language", "en"),
        ("prompt", "Ada, Roomscribe."),
    ]


async def test_a_long_utterance_goes_in_pieces_each_with_the_words_before_it_and_is_one_line(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    parts = [np.concatenate([utterance(n, n + 1, seconds=2.8), silence(0.2)]) for n in (1, 3, 5)]
    async with client(piece_s=3.0).stream(conn_options=ONCE) as stream:
        events = []
        for part in parts:
            push(stream, part)
            async with asyncio.timeout(5):
                events.append(await anext(stream))
        stream.end_input()
        events += await heard(stream)

    assert texts(events, KINDS.INTERIM_TRANSCRIPT) == [
        "w001 w002",
        "w001 w002 w003 w004",
        "w001 w002 w003 w004 w005 w006",
    ]
    [final] = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert final.text == "w001 w002 w003 w004 w005 w006"
    assert (final.start_time, final.end_time) == (0.0, 9.0)
    assert [r.audio_s for r in scripted.answered] == [3.0] * 3
    assert [r.one("prompt") for r in scripted.answered] == ["", "w001 w002", "w001 w002 w003 w004"]


async def test_what_piles_up_while_a_server_is_slow_goes_together(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(answer_s=0.3), times=1)
    async with client(piece_s=3.0).stream(conn_options=ONCE) as stream:
        push(stream, np.concatenate([utterance(1, 2, seconds=2.8), silence(0.2)]))
        await scripted.until(lambda s: s.asking)
        for n in (3, 5, 7):
            push(stream, np.concatenate([utterance(n, n + 1, seconds=2.8), silence(0.2)]))
        stream.end_input()
        events = await heard(stream)

    assert texts(events) == [" ".join(f"w{n:03}" for n in range(1, 9))]
    assert [r.audio_s for r in scripted.answered] == [3.0, 9.0]


async def test_silence_and_what_the_model_made_up_over_it_is_no_line(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(says="Thank you.", no_speech_prob=0.95, avg_logprob=-1.4))
    events = await said(client(), utterance())

    assert [e.type for e in events] == [KINDS.END_OF_SPEECH] * 2


async def test_the_language_that_was_heard_is_told_when_none_was_asked_for(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(language="portuguese"))
    whisper = await said(client(), ONE, language="")
    scripted.follow(Script(language="pt"))
    hinted = await said(client(model="gpt-transcribe"), ONE, language="")
    asked = await said(client(), ONE, language="pt-BR")

    languages = [e.alternatives[0].language for e in whisper + hinted + asked if e.alternatives]
    assert languages == ["pt", "pt", "pt-BR"]
    assert [r.one("language") for r in scripted.answered] == ["", "", "pt"]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_server_that_is_busy_or_broken_for_a_moment_costs_nothing_but_time(
    scripted: ScriptedOpenAI, client: Make, status: int
) -> None:
    scripted.follow(Script(accepts=status), times=2)
    events = await said(client(first_wait_s=SOON_S), ONE)

    assert texts(events) == ["w001 w002 w003"]
    first, second, third = (request.at for request in scripted.requests)
    assert second - first >= SOON_S
    assert third - second >= 2 * SOON_S


async def test_after_three_tries_the_stream_ends_with_what_the_server_said_last(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(accepts=429, retry_after_s=1))
    async with client(first_wait_s=SOON_S, longest_wait_s=1).stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        fault = await fault_of(stream)

    assert (type(fault), fault.retry_after_s, scripted.tried) == (EngineFull, 1, 3)
    first, second, third = (request.at for request in scripted.requests)
    assert min(second - first, third - second) >= 1  # as the server asked


@pytest.mark.parametrize(
    "script",
    [
        Script(accepts=401),
        Script(accepts=404),
        Script(accepts=429, code="insufficient_quota"),
        Script(accepts=429, retry_after_s=30),
        Script(aborts_after_words=0),
        Script(says_rubbish=True),
        Script(body=b'{"text": "' + b"x" * 1_200_000 + b'"}'),
    ],
    ids=["key", "model", "quota", "long wait", "cut", "rubbish", "endless"],
)
async def test_what_does_not_pass_is_not_tried_again(
    scripted: ScriptedOpenAI, client: Make, script: Script
) -> None:
    scripted.follow(script)
    async with client().stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        await fault_of(stream)

    assert scripted.tried == 1


async def test_one_answer_ends_the_waits_of_all_who_wait_for_the_same_engine(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(accepts=503), times=2)
    engine = client(first_wait_s=8.0)
    waiting = [asyncio.create_task(said(engine, ONE, language="en")) for _ in range(2)]
    await scripted.until(lambda s: s.tried == 2)
    began = time.monotonic()
    probe = await said(engine, TWO)
    events = await asyncio.gather(*waiting)

    assert [texts(each) for each in (probe, *events)] == [["w004 w005"], *[["w001 w002 w003"]] * 2]
    assert time.monotonic() - began < 4


async def test_a_request_that_is_never_answered_is_given_up(scripted: ScriptedOpenAI, client: Make) -> None:
    scripted.follow(Script(hangs="silent"))
    async with client(answer_timeout_s=0.3).stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        assert type(await fault_of(stream)) is EngineLost

    await scripted.until(lambda s: not s.asking)


async def test_audio_does_not_wait_without_bound_for_an_answer(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(hangs="silent"))
    async with client().stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        await scripted.until(lambda s: s.asking)
        push(stream, silence(31))
        fault = await fault_of(stream)

    assert str(fault) == "the engine does not keep up"


async def test_the_scripted_server_understands_livekits_plugin_too(scripted: ScriptedOpenAI) -> None:
    client = openai.AsyncClient(api_key=KEY, base_url=scripted.url, max_retries=0)
    plugin = LiveKitSTT(model="whisper-1", client=client, use_realtime=False)
    event = await plugin.recognize(rtc.AudioFrame(ONE.tobytes(), 16_000, 1, len(ONE)), conn_options=ONCE)
    await plugin.aclose()
    await client.close()

    assert event.alternatives[0].text == "w001 w002 w003"
    assert answered(scripted).one("language") == "en"


async def test_no_server_at_all_is_an_engine_lost() -> None:
    engine = OpenAISTT(OpenAIOptions(base_url=f"http://127.0.0.1:{free_port()}"))
    async with engine.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        assert type(await fault_of(stream)) is EngineLost
    await engine.aclose()


async def test_neither_the_key_nor_a_word_is_logged(
    scripted: ScriptedOpenAI, client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        for script in (Script(), Script(accepts=401, code=KEY), Script(says_rubbish=True)):
            scripted.follow(script)
            engine = client(vocabulary=lambda: ("Roomscribe",))
            engine.on("error", errors.append)
            try:
                await said(engine, ONE)
            except APIConnectionError as error:
                logging.getLogger("agents").exception("a test looks at how this prints")
                errors += [error, error.__cause__, error.__cause__ and error.__cause__.__context__]

    assert [request.key for request in scripted.requests] == [KEY] * 3
    printed = caplog.text + "".join(str(vars(record)) for record in caplog.records) + repr(errors)
    assert not any(secret in printed for secret in (KEY, "w001", "Roomscribe"))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSpeech]:
    with RunningSpeech(tmp_path_factory.mktemp("speech"), api_key=KEY) as server:
        yield server


async def test_our_own_speech_server_is_an_openai_compatible_one(speech: RunningSpeech) -> None:
    setup = EngineSetup(engine="openai_compatible", base_url=speech.url, model=MODEL, api_key=KEY)
    engine = ENGINES["openai_compatible"].make(setup, Surroundings())
    async with engine.stream(language="en-US", conn_options=ONCE) as stream:
        push(stream, clip("slt"))
        stream.end_input()
        events = await heard(stream, timeout_s=40)
    await engine.aclose()

    assert word_error_rate(words("slt"), " ".join(texts(events))) <= 0.1


@pytest.mark.parametrize(
    ("model", "key", "status"), [("another", KEY, 404), (MODEL, "another-key", 401), (MODEL, "", 401)]
)
async def test_our_own_speech_server_says_why_it_refuses(
    speech: RunningSpeech, model: str, key: str, status: int
) -> None:
    setup = EngineSetup(engine="openai_compatible", base_url=speech.url, model=model, api_key=key)
    engine = ENGINES["openai_compatible"].make(setup, Surroundings())
    async with engine.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        fault = await fault_of(stream)
    await engine.aclose()

    assert fault.status == status
