"""The client of OpenAI's realtime transcription by itself, against a scripted server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, stt

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused
from agents.stt.openai import OpenAIRealtimeOptions, OpenAIRealtimeSTT
from agents.stt.openai.realtime import OpenAIRealtimeStream
from agents.stt.registry import ENGINES
from tests.support.clips import silence
from tests.support.engines.listening import ONCE, fault_of, heard, said, texts
from tests.support.engines.microphone import push, utterance
from tests.support.ports import free_port
from tests.support.scripted_openai import RUBBISH_LINES, Script, ScriptedOpenAI

KINDS = stt.SpeechEventType
KEY = "a-key-that-nobody-may-see"
ONE, TWO = utterance(1, 2, 3), utterance(4, 5)
LATE = "gpt-4o-transcribe"
"""It begins to write at a commit."""


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


Make = Callable[..., OpenAIRealtimeSTT]


@pytest.fixture
async def client(scripted: ScriptedOpenAI) -> AsyncIterator[Make]:
    """Makes clients of that server."""
    made = []

    def make(*, vocabulary: Callable[[], tuple[str, ...]] = tuple, **options: Any) -> OpenAIRealtimeSTT:
        engine = OpenAIRealtimeSTT(
            OpenAIRealtimeOptions(base_url=scripted.url, api_key=KEY, **options), vocabulary=vocabulary
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.aclose()


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-realtime-whisper", LATE, "whisper-1"])
async def test_words_come_with_their_utterance_and_every_flush_ends_once(
    scripted: ScriptedOpenAI, client: Make, model: str
) -> None:
    events = await said(client(model=model), ONE, TWO)

    finals = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert [f.text for f in finals] == ["w001 w002 w003", "w004 w005"]
    times = [time for f in finals for time in (f.start_time, f.end_time)]
    assert times == pytest.approx([0.0, 1.6, 1.6, 3.2], abs=0.001)
    assert [e.type for e in events if e.type is not KINDS.INTERIM_TRANSCRIPT] == [
        KINDS.FINAL_TRANSCRIPT,
        KINDS.END_OF_SPEECH,
        KINDS.FINAL_TRANSCRIPT,
        KINDS.END_OF_SPEECH,
        KINDS.END_OF_SPEECH,  # of end_input, which flushes too
    ]
    [session] = scripted.sessions
    await scripted.until(lambda _: not session.is_open)
    assert (session.key, session.close_code) == (KEY, 1000)
    assert session.items_s == pytest.approx([1.6, 1.6], abs=0.001)


async def test_a_live_model_writes_while_it_listens(scripted: ScriptedOpenAI, client: Make) -> None:
    async with client().stream(conn_options=ONCE) as stream:
        push(stream, ONE)  # and no flush
        texts_so_far: list[str] = []
        async with asyncio.timeout(5):
            async for event in stream:
                texts_so_far.append(event.alternatives[0].text)
                assert event.alternatives[0].end_time <= 1.601
                if texts_so_far[-1] == "w001 w002 w003":
                    break

    assert texts_so_far == sorted(texts_so_far, key=len)


async def test_another_model_is_given_a_long_utterance_in_pieces_and_it_is_one_line(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    part = [utterance(n, n + 1, seconds=2.8) for n in (1, 3, 5)]
    events = await said(
        client(model=LATE), np.concatenate([part[0], silence(0.3), part[1], silence(0.3), part[2]])
    )

    assert texts(events) == ["w001 w002 w003 w004 w005 w006"]
    assert len(scripted.sessions[0].items_s) == 3
    interims = texts(events, KINDS.INTERIM_TRANSCRIPT)
    assert interims[0].startswith("w001")
    assert all("w001 w002 w003 w004 w005 w006".startswith(text) for text in interims)


async def test_the_session_is_told_how_to_hear(scripted: ScriptedOpenAI, client: Make) -> None:
    await said(client(vocabulary=lambda: ("Ada",)), TWO, language="de-AT")
    await said(client(model=LATE, vocabulary=lambda: ("Ada",)), TWO, language="")

    live, late = scripted.sessions
    assert live.query == {"intent": "transcription", "model": "gpt-live-transcribe"}
    assert [s.update["audio"]["input"]["transcription"] for s in (live, late)] == [
        {"model": "gpt-live-transcribe", "languages": ["de"], "keywords": ["Ada"]},
        {"model": LATE, "prompt": "Ada."},
    ]


async def test_a_language_that_was_heard_is_told_when_none_was_asked_for(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(language="fr"))
    events = await said(client(), TWO, language="") + await said(client(), TWO, language="fr-CA")

    assert [e.alternatives[0].language for e in events if e.type is KINDS.FINAL_TRANSCRIPT] == ["fr", "fr-CA"]


async def test_items_that_are_completed_in_another_order_are_said_in_that_of_the_audio(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(completes_backwards=True))
    assert texts(await said(client(model=LATE), ONE, TWO)) == ["w001 w002 w003", "w004 w005"]


@pytest.mark.parametrize(
    ("script", "cause", "status"),
    [
        (Script(accepts=401), EngineRefused, 401),
        (Script(accepts=403), EngineRefused, 403),
        (Script(accepts=429, retry_after_s=7), EngineFull, 429),
        (Script(accepts=500), EngineLost, 500),
        (Script(fails_after_words=1, code="insufficient_quota"), EngineRefused, 402),
        (Script(fails_after_words=1, code="rate_limit_exceeded"), EngineFull, 429),
        (Script(fails_after_words=1), EngineLost, None),
        (Script(expires_after_words=2), EngineLost, None),
        (Script(aborts_after_words=2), EngineLost, None),
    ],
)
@pytest.mark.parametrize("model", ["gpt-live-transcribe", LATE])
async def test_every_failure_ends_the_stream_and_says_of_what_kind_it_is(
    scripted: ScriptedOpenAI,
    client: Make,
    model: str,
    script: Script,
    cause: type[EngineFault],
    status: int | None,
) -> None:
    scripted.follow(script)
    async with client(model=model).stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        fault = await fault_of(stream)

    assert (type(fault), fault.status) == (cause, status)
    assert fault.retry_after_s == script.retry_after_s
    assert scripted.tried == 1  # whoever has the audio decides on the next


async def test_a_model_that_there_is_not_is_refused(scripted: ScriptedOpenAI, client: Make) -> None:
    async with client(model="gpt-9-transcribe").stream(conn_options=ONCE) as stream:
        fault = await fault_of(stream)
    assert (type(fault), fault.status) == (EngineRefused, 404)


async def test_no_server_at_all_is_an_engine_lost() -> None:
    engine = OpenAIRealtimeSTT(OpenAIRealtimeOptions(base_url=f"http://127.0.0.1:{free_port()}"))
    async with engine.stream(conn_options=ONCE) as stream:
        assert type(await fault_of(stream)) is EngineLost
    await engine.aclose()


async def test_who_is_cut_off_in_the_middle_of_the_handshake_says_goodbye_too(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(handshake_s=0.2))
    before = asyncio.all_tasks()
    stream = client().stream(conn_options=ONCE)
    await scripted.until(lambda s: s.tried)
    await stream.aclose()

    await scripted.until(lambda s: s.sessions and not s.sessions[0].is_open)
    assert scripted.sessions[0].close_code == 1000
    assert asyncio.all_tasks() <= before


async def test_a_handshake_without_end_is_an_engine_lost(scripted: ScriptedOpenAI, client: Make) -> None:
    scripted.follow(Script(handshake_s=1.0))
    hasty = APIConnectOptions(max_retry=0, timeout=0.2)
    async with client().stream(conn_options=hasty) as stream:
        assert type(await fault_of(stream)) is EngineLost


async def test_an_engine_that_does_not_finish_is_an_engine_lost(
    scripted: ScriptedOpenAI, client: Make
) -> None:
    scripted.follow(Script(hangs="silent"))
    async with client(close_timeout_s=0.3).stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.end_input()
        assert str(await fault_of(stream)) == "the engine does not finish"


async def test_an_engine_that_stops_reading_is_an_engine_lost(scripted: ScriptedOpenAI, client: Make) -> None:
    scripted.follow(Script(hangs="unread"))
    async with client().stream(conn_options=ONCE) as stream:
        push(stream, silence(300))  # more than the sockets between hold
        assert str(await fault_of(stream, timeout_s=20)) == "the engine does not take audio"


async def test_garbage_is_dropped_and_counted_and_said_once(
    scripted: ScriptedOpenAI, client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.follow(Script(says_rubbish=True))
    with caplog.at_level(logging.DEBUG):
        async with client().stream(conn_options=ONCE) as stream:
            push(stream, ONE)
            stream.end_input()
            events = await heard(stream)

    assert texts(events) == ["w001 w002 w003"]
    assert isinstance(stream, OpenAIRealtimeStream)
    assert stream.dropped_messages >= len(RUBBISH_LINES) * 3 - 3
    ours = [record for record in caplog.records if record.name.startswith("agents.")]
    assert len(ours) == 1
    assert "garbage" not in caplog.text + str(vars(ours[0]))


async def test_neither_the_key_nor_a_word_is_logged(
    scripted: ScriptedOpenAI, client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        for script in (Script(), Script(accepts=401), Script(fails_after_words=1, code=KEY)):
            scripted.follow(script)
            engine = client(vocabulary=lambda: ("Roomscribe",))
            engine.on("error", errors.append)
            try:
                await said(engine, ONE)
            except APIConnectionError as error:
                logging.getLogger("agents").exception("a test looks at how this prints")
                errors += [error, error.__cause__, error.__cause__ and error.__cause__.__context__]

    printed = caplog.text + "".join(str(vars(record)) for record in caplog.records) + repr(errors)
    assert not any(secret in printed for secret in (KEY, "w001", "Roomscribe"))


def test_a_session_is_replaced_well_before_openai_would_end_it() -> None:
    assert ENGINES["openai_realtime"].capabilities.session_limit_s == 900
