"""The client of Mistral's wire by itself, against a server that speaks it; its part of the contract is elsewhere."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from livekit.agents import APIConnectOptions, APIError, stt
from mistralai.client import Mistral
from mistralai.client.models import TranscriptionStreamDone, TranscriptionStreamTextDelta
from mistralai.extra.realtime import RealtimeTranscription

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused, OptionsError
from agents.stt.mistral import MistralOptions, MistralSTT
from agents.stt.mistral.protocol import language_of, parse, realtime_url
from tests.support.engines.listening import fault_of, heard
from tests.support.engines.microphone import push, utterance
from tests.support.engines.sockets import Script
from tests.support.scripted_mistral import MODEL, ScriptedMistral

KINDS = stt.SpeechEventType
ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
KEY = "a-key-that-nobody-may-see"


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedMistral]:
    with ScriptedMistral(key=KEY) as server:
        assert isinstance(server, ScriptedMistral)
        yield server


@pytest.fixture
def server(running: ScriptedMistral) -> Iterator[ScriptedMistral]:
    running.behave()
    yield running
    assert running.violations == []


@pytest.fixture
async def engine(server: ScriptedMistral) -> AsyncIterator[MistralSTT]:
    engine = MistralSTT(MistralOptions(base_url=server.url, api_key=KEY))
    yield engine
    await engine.aclose()


@pytest.mark.parametrize(
    ("tag", "wanted"), [("fr", "fr"), ("en-US", "en"), ("pt_BR", "pt"), ("", ""), ("any language", "")]
)
def test_a_language_is_named_without_its_region(tag: str, wanted: str) -> None:
    assert language_of(tag) == wanted


@pytest.mark.parametrize("base_url", ["https://api.example", "https://api.example/", "wss://api.example/v1"])
def test_the_address_may_be_given_with_its_version_or_without(base_url: str) -> None:
    wanted = f"wss://api.example/v1/audio/transcriptions/realtime?model={MODEL}"

    assert realtime_url(MistralOptions(base_url=base_url)) == wanted


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "grpc://api.example"}, {"base_url": "api.example"}, {"model": "voxtral-mini-latest"}],
)
def test_a_setup_that_cannot_work_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(OptionsError):
        MistralOptions(**wrong)


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"type": 5}',
        '{"type": "transcription.text.delta", "text": 5}',
        '{"type": "transcription.done"}',
        '{"type": "transcription.text.delta", "text": "' + "x" * 300_000 + '"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_message_is_nothing(line: str) -> None:
    assert parse(line) is None


async def test_each_utterance_has_a_connection_of_its_own_that_is_ended_in_order(
    engine: MistralSTT, server: ScriptedMistral
) -> None:
    async with engine.stream(language="fr-FR", conn_options=ONCE) as stream:
        for codes in ((1, 2), (3,)):  # at once: the second has to wait for the first
            push(stream, utterance(*codes))
            stream.flush()
        stream.end_input()
        events = await heard(stream)

    finals = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert [(f.text, f.start_time, f.end_time) for f in finals] == [
        ("w001 w002", 0.0, 1.6),
        ("w003", 1.6, 3.2),
    ]
    assert [session.messages for session in server.sessions] == [["input_audio.flush", "input_audio.end"]] * 2
    assert [session.audio_bytes for session in server.sessions] == [51_200] * 2


async def test_words_are_in_the_language_that_was_heard(engine: MistralSTT) -> None:
    async with engine.stream(language="fr-FR", conn_options=ONCE) as stream:
        push(stream, utterance(1, 2))
        stream.end_input()
        events = await heard(stream)

    assert {str(e.alternatives[0].language) for e in events if e.alternatives} == {"en"}


@pytest.mark.parametrize(
    ("code", "cause"),
    [(401, EngineRefused), (404, EngineRefused), (429, EngineFull), (500, EngineLost), (3804, EngineLost)],
)
async def test_an_error_instead_of_a_session_is_of_its_kind(
    engine: MistralSTT, server: ScriptedMistral, code: int, cause: type[EngineFault]
) -> None:
    server.follow(Script(fails_at_once=code), times=None)
    async with engine.stream(conn_options=ONCE) as stream:
        push(stream, utterance(1))
        assert type(await fault_of(stream)) is cause


async def test_a_session_that_never_begins_is_an_engine_lost(
    engine: MistralSTT, server: ScriptedMistral
) -> None:
    server.follow(Script(hangs=True), times=None)
    hasty = APIConnectOptions(max_retry=0, timeout=0.3)
    async with engine.stream(conn_options=hasty) as stream:
        push(stream, utterance(1))
        fault = await fault_of(stream)

    assert (type(fault), str(fault)) == (EngineLost, "the engine does not begin")


async def test_the_key_goes_in_its_header_and_nothing_said_or_secret_into_a_log(
    engine: MistralSTT, server: ScriptedMistral, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    engine.on("error", errors.append)
    with caplog.at_level(logging.DEBUG):
        for script in (Script(says_rubbish=True), Script(accepts=401), Script(fails_at_once=401)):
            server.follow(script, times=None)
            async with engine.stream(conn_options=ONCE) as stream:
                push(stream, utterance(1))
                stream.end_input()
                try:
                    await heard(stream)
                except APIError as error:
                    logging.getLogger("agents").exception("a test looks at how this prints")
                    errors += [error, error.__cause__, error.__cause__ and error.__cause__.__context__]

    assert server.keys == [KEY] * 3
    assert KEY not in str([session.query for session in server.sessions])
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for secret in (KEY, "w001", "garbage"):
        assert secret not in logged + repr(errors) + repr(engine.options)


async def test_mistrals_own_client_hears_the_same_from_the_scripted_server(server: ScriptedMistral) -> None:
    async def audio() -> AsyncIterator[bytes]:
        for at in range(0, len(pcm), 3_200):
            yield pcm[at : at + 3_200]

    pcm = utterance(1, 2, 3).tobytes()
    async with Mistral(api_key=KEY, server_url=server.url) as client, asyncio.timeout(5):
        wire = RealtimeTranscription(client.sdk_configuration)
        events = [event async for event in wire.transcribe_stream(audio(), MODEL)]

    deltas = [event.text for event in events if isinstance(event, TranscriptionStreamTextDelta)]
    assert deltas == ["w001", " w002", " w003"]
    assert isinstance(events[-1], TranscriptionStreamDone)
    assert events[-1].text == "w001 w002 w003"
