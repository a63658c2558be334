"""The client of ElevenLabs' wire by itself, against a server that speaks it; its part of the contract is elsewhere."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import numpy as np
import pytest
from livekit.agents import APIConnectOptions, APIError, stt
from livekit.plugins import elevenlabs

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused, OptionsError
from agents.stt.elevenlabs import ElevenLabsOptions, ElevenLabsSTT
from agents.stt.elevenlabs.protocol import keyterms_of, language_of, parse, realtime_url
from tests.support.engines.listening import fault_of, heard
from tests.support.engines.microphone import push, utterance
from tests.support.engines.sockets import Script
from tests.support.scripted_elevenlabs import LEAST_COMMIT_S, ScriptedElevenLabs

KINDS = stt.SpeechEventType
ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
KEY = "a-key-that-nobody-may-see"


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedElevenLabs]:
    with ScriptedElevenLabs(key=KEY) as server:
        assert isinstance(server, ScriptedElevenLabs)
        yield server


@pytest.fixture
def server(running: ScriptedElevenLabs) -> Iterator[ScriptedElevenLabs]:
    running.behave()
    yield running
    assert running.violations == []


@pytest.fixture
async def engine(server: ScriptedElevenLabs) -> AsyncIterator[ElevenLabsSTT]:
    options = ElevenLabsOptions(base_url=server.base_url, api_key=KEY)
    engine = ElevenLabsSTT(options, vocabulary=lambda: ("Grace Hopper", "COBOL"))
    yield engine
    await engine.aclose()


def said(events: list[stt.SpeechEvent], kind: stt.SpeechEventType) -> list[stt.SpeechData]:
    return [event.alternatives[0] for event in events if event.type is kind]


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("pt_br", "pt"),
        ("ZH-Hant-TW", "zh"),
        ("fil", "fil"),
        ("", ""),
        ("auto detect", ""),
        ("e", ""),
        ("english", ""),
    ],
)
def test_a_language_goes_out_without_its_region(tag: str, wanted: str) -> None:
    assert language_of(tag) == wanted


def test_the_address_asks_for_manual_commits_and_what_was_given() -> None:
    options = ElevenLabsOptions(base_url="https://api.example/v1/")
    url = urlsplit(realtime_url(options, language="fr", keyterms=("Ada & Co", "Zoë")))

    assert (url.scheme, url.netloc, url.path) == ("wss", "api.example", "/v1/speech-to-text/realtime")
    assert parse_qs(url.query) == {
        "model_id": ["scribe_v2_realtime"],
        "audio_format": ["pcm_16000"],
        "commit_strategy": ["manual"],
        "language_code": ["fr"],
        "keyterms": ["Ada & Co", "Zoë"],
    }


def test_without_a_language_it_is_detected() -> None:
    query = parse_qs(urlsplit(realtime_url(ElevenLabsOptions(), language="", keyterms=())).query)

    assert query["include_language_detection"] == ["true"]
    assert "language_code" not in query


def test_words_that_the_wire_would_refuse_stay_at_home() -> None:
    words = ("Ada", "x" * 20, "x" * 21, "<b>", "a[0]", "back\\slash", "Grace Hopper", *map(str, range(100)))

    assert keyterms_of(words)[:4] == ("Ada", "x" * 20, "Grace Hopper", "0")
    assert len(keyterms_of(words)) == 50


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://api.example/v1"},
        {"base_url": "api.example/v1"},
        {"base_url": "https:///v1"},
        {"base_url": "https://api.example/v1?x=1"},
        {"model": "scribe_v2"},
        {"model": ""},
    ],
)
def test_a_setup_that_cannot_work_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(OptionsError):
        ElevenLabsOptions(**wrong)


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        "null",
        '{"message_type": 5}',
        '{"message_type": "partial_transcript"}',
        '{"message_type": "committed_transcript", "text": ["w"]}',
        '{"message_type": "committed_transcript_with_timestamps", "text": null}',
        '{"message_type": "partial_transcript", "text": "' + "x" * 300_000 + '"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_message_is_nothing(line: str) -> None:
    assert parse(line) is None


async def test_a_language_with_a_region_is_transcribed_and_words_are_expected(
    engine: ElevenLabsSTT, server: ScriptedElevenLabs
) -> None:
    async with engine.stream(language="en-US", conn_options=ONCE) as stream:
        push(stream, utterance(1, 2))
        stream.end_input()
        events = await heard(stream)

    [final] = said(events, KINDS.FINAL_TRANSCRIPT)
    assert (final.text, final.language) == ("w001 w002", "en-US")
    [session] = server.sessions
    assert session.query["language_code"] == ["en"]
    assert session.query["keyterms"] == ["Grace Hopper", "COBOL"]


async def test_without_a_language_a_final_names_the_one_it_heard(engine: ElevenLabsSTT) -> None:
    async with engine.stream(conn_options=ONCE) as stream:
        push(stream, utterance(1, 2))
        stream.flush()
        push(stream, utterance(3))
        stream.end_input()
        events = await heard(stream)

    finals = said(events, KINDS.FINAL_TRANSCRIPT)
    assert [(final.text, final.language) for final in finals] == [("w001 w002", "en"), ("w003", "en")]


async def test_an_utterance_too_short_to_commit_is_made_up_with_silence_and_ends(
    engine: ElevenLabsSTT, server: ScriptedElevenLabs
) -> None:
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, np.zeros(1_600, np.int16))
        stream.flush()
        push(stream, utterance(1))
        stream.end_input()
        events = await heard(stream)

    [final] = said(events, KINDS.FINAL_TRANSCRIPT)
    assert (final.start_time, final.end_time) == pytest.approx(
        (0.1, 1.7)
    )  # of what was given, not of what was sent
    assert sum(event.type is KINDS.END_OF_SPEECH for event in events) == 2
    assert server.sessions[0].commits_s[0] == pytest.approx(LEAST_COMMIT_S)


@pytest.mark.parametrize(
    ("word", "cause", "status"),
    [
        ("auth_error", EngineRefused, 401),
        ("quota_exceeded", EngineRefused, 402),
        ("unaccepted_terms", EngineRefused, 403),
        ("invalid_request", EngineRefused, 404),
        ("rate_limited", EngineFull, 429),
        ("resource_exhausted", EngineFull, 503),
        ("transcriber_error", EngineLost, 500),
    ],
)
async def test_an_error_after_the_connection_was_taken_is_of_its_kind(
    engine: ElevenLabsSTT,
    server: ScriptedElevenLabs,
    word: str,
    cause: type[EngineFault],
    status: int,
) -> None:
    server.follow(Script(fails_at_once=word), times=None)
    faults = []
    for _ in range(5):
        async with engine.stream(language="en", conn_options=ONCE) as stream:
            push(stream, utterance(1, seconds=20.0))  # it is gone before all of this can be sent
            faults.append(await fault_of(stream))

    assert {(type(fault), fault.status) for fault in faults} == {(cause, status)}


async def test_the_key_goes_in_its_header_and_nothing_said_or_secret_into_a_log(
    engine: ElevenLabsSTT, server: ScriptedElevenLabs, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    engine.on("error", errors.append)
    with caplog.at_level(logging.DEBUG):
        for script in (Script(says_rubbish=True), Script(accepts=401), Script(fails_at_once="auth_error")):
            server.follow(script, times=None)
            async with engine.stream(language="en", conn_options=ONCE) as stream:
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


async def test_livekits_own_client_hears_the_same_from_the_scripted_server(
    server: ScriptedElevenLabs,
) -> None:
    async with aiohttp.ClientSession() as http:
        plugin = elevenlabs.STT(
            api_key=KEY, base_url=server.base_url, model="scribe_v2_realtime", http_session=http
        )
        async with plugin.stream(language="en", conn_options=ONCE) as stream:
            push(stream, utterance(1, 2, 3))
            stream.flush()
            async with asyncio.timeout(5):
                async for event in stream:
                    if event.type is KINDS.FINAL_TRANSCRIPT:
                        break

    assert event.alternatives[0].text == "w001 w002 w003"
