"""The client of Deepgram's wire by itself, against a scripted engine that speaks it."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, stt

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused
from agents.stt.deepgram import DeepgramOptions, DeepgramSTT
from agents.stt.deepgram.stt import DeepgramStream
from agents.stt.registry import ENGINES, EngineDefaults, Surroundings
from contract.engines import EngineSetup
from tests.support.clips import at_level, clip, silence
from tests.support.deepgram.markers import MARKER_S, with_markers
from tests.support.deepgram.script import GARBAGE
from tests.support.engines.listening import heard
from tests.support.engines.microphone import push
from tests.support.livekit import ROOT
from tests.support.ports import free_port
from tests.support.scripted_deepgram import ScriptedDeepgram

ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
KINDS = stt.SpeechEventType
KEY = "a-key-that-nobody-may-see"
SPEECH = at_level(clip("slt"), 20_000)
ONE = with_markers(SPEECH[:32_000], [(0.5, 1), (1.0, 2), (1.6, 3)])
TWO = with_markers(SPEECH[32_000:64_000], [(0.4, 4), (1.2, 5)])


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture
def scripted(scripted_server: ScriptedDeepgram) -> Iterator[ScriptedDeepgram]:
    """The engine, behaving; whatever it was to do, its client has kept to the wire."""
    scripted_server.reset()
    yield scripted_server
    assert [v for c in scripted_server.seen().connections for v in c.violations] == []


@pytest.fixture
async def client(scripted: ScriptedDeepgram) -> AsyncIterator[DeepgramSTT]:
    client = DeepgramSTT(DeepgramOptions(base_url=scripted.url, api_key=KEY, close_timeout_s=1.0))
    yield client
    await client.aclose()


async def until(
    stream: stt.RecognizeStream, is_it: Callable[[stt.SpeechEvent], bool], *, timeout_s: float = 8
) -> list[stt.SpeechEvent]:
    events = []
    async with asyncio.timeout(timeout_s):
        async for event in stream:
            events.append(event)
            if is_it(event):
                return events
    raise AssertionError("the stream has ended")


def finals(events: list[stt.SpeechEvent]) -> list[str]:
    return [e.alternatives[0].text for e in events if e.type is KINDS.FINAL_TRANSCRIPT]


def ends(events: list[stt.SpeechEvent]) -> int:
    return sum(e.type is KINDS.END_OF_SPEECH for e in events)


def is_end(event: stt.SpeechEvent) -> bool:
    return event.type is KINDS.END_OF_SPEECH


async def test_words_come_with_their_times_and_every_flush_ends_once(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.flush()
        push(stream, TWO)
        stream.flush()
        stream.end_input()
        events = await heard(stream)

    said = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert [s.text for s in said] == ["w001 w002 w003", "w004 w005"]
    times = [(s.start_time, s.end_time) for s in said]
    assert times[0] == pytest.approx((0.5, 1.6 + MARKER_S), abs=0.003)
    assert times[1] == pytest.approx((2.4, 3.2 + MARKER_S), abs=0.003)
    assert [e.type for e in events if e.type is not KINDS.INTERIM_TRANSCRIPT] == [
        KINDS.FINAL_TRANSCRIPT,
        KINDS.END_OF_SPEECH,
        KINDS.FINAL_TRANSCRIPT,
        KINDS.END_OF_SPEECH,
        KINDS.END_OF_SPEECH,  # of end_input, which flushes too
    ]
    [connection] = (await scripted.until(lambda s: s.connections[0].closed_at)).connections
    assert connection.ending == "CloseStream"
    assert connection.audio_s == pytest.approx(4)
    assert len(connection.finalizes) == 2
    assert connection.query["encoding"] == "linear16"


async def test_interims_grow_until_the_final(scripted: ScriptedDeepgram, client: DeepgramSTT) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        reading = asyncio.create_task(until(stream, is_end))
        for at in range(0, len(ONE), 3_200):
            push(stream, ONE[at : at + 3_200])
            await asyncio.sleep(0.01)
        stream.flush()
        events = await reading

    texts = [e.alternatives[0].text for e in events if e.alternatives and e.alternatives[0].text]
    assert texts == ["w001", "w001 w002", "w001 w002 w003", "w001 w002 w003"]


async def test_each_frame_goes_out_at_once_and_what_piled_up_in_fewer_messages(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, silence(2))  # while it connects
        await scripted.until(lambda s: s.connections and s.connections[0].audio_s == 2)
        piled = scripted.seen().connections[0].messages
        for _ in range(10):
            push(stream, silence(0.02))
            await asyncio.sleep(0.02)
        seen = await scripted.until(lambda s: s.connections[0].audio_s == 2.2)

    assert piled == 10
    assert seen.connections[0].messages == 20


async def test_a_pause_alone_makes_a_final_and_the_flush_after_it_still_ends(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, np.concatenate([ONE, silence(0.4)]))
        events = await until(stream, lambda e: e.type is KINDS.FINAL_TRANSCRIPT)
        assert ends(events) == 0
        stream.flush()
        assert ends(await until(stream, is_end)) == 1


async def test_a_flush_that_the_engine_leaves_unanswered_ends_when_nothing_is_left_to_say(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    scripted.set(answers_empty_finalize=False)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, np.concatenate([ONE, silence(0.5)]))
        stream.flush()
        first = await until(stream, is_end)
        push(stream, TWO)
        stream.flush()
        second = await until(stream, is_end)

    assert (finals(first), finals(second)) == (["w001 w002 w003"], ["w004 w005"])


async def test_without_audio_a_flush_ends_at_once(scripted: ScriptedDeepgram, client: DeepgramSTT) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        stream.flush()
        stream.end_input()
        events = await heard(stream)

    assert [e.type for e in events] == [KINDS.END_OF_SPEECH] * 2
    [connection] = (await scripted.until(lambda s: s.connections[0].closed_at)).connections
    assert (connection.finalizes, connection.ending) == ([], "CloseStream")


async def test_a_silent_stream_is_kept_alive(scripted: ScriptedDeepgram, client: DeepgramSTT) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        seen = await scripted.until(lambda s: s.connections and s.connections[0].keepalives, timeout_s=8)
        push(stream, TWO)
        stream.end_input()
        await heard(stream)

    [connection] = seen.connections
    assert connection.last_audio_at is not None
    assert connection.keepalives[0] - connection.last_audio_at >= 4.9


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, EngineRefused), (403, EngineRefused), (429, EngineFull), (503, EngineFull), (500, EngineLost)],
)
async def test_a_refused_handshake_says_of_what_kind_it_is_and_how_long_to_wait(
    scripted: ScriptedDeepgram, client: DeepgramSTT, status: int, cause: type[EngineFault]
) -> None:
    scripted.set(accepts=status, retry_after_s=7)
    async with client.stream(conn_options=ONCE) as stream:
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)

    fault = failed.value.__cause__
    assert type(fault) is cause
    assert fault.retry_after_s == 7
    assert len(scripted.seen().attempts) == 1  # whoever has the audio decides on the next


async def test_no_server_at_all_is_an_engine_lost() -> None:
    client = DeepgramSTT(DeepgramOptions(base_url=f"http://127.0.0.1:{free_port()}/v1/listen"))
    async with client.stream(conn_options=ONCE) as stream:
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)
    await client.aclose()

    assert isinstance(failed.value.__cause__, EngineLost)


@pytest.mark.parametrize("close_code", [None, 1000, 1011])
async def test_a_connection_that_ends_in_the_middle_of_a_word_is_an_engine_lost(
    scripted: ScriptedDeepgram, client: DeepgramSTT, close_code: int | None
) -> None:
    scripted.set(closes_after_words=2, close_code=close_code)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)

    assert isinstance(failed.value.__cause__, EngineLost)


async def test_an_engine_that_does_not_finish_is_an_engine_lost(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    scripted.set(hangs="silent")
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.end_input()
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)

    assert isinstance(failed.value.__cause__, EngineLost)


async def test_an_engine_that_stops_reading_is_an_engine_lost(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    scripted.set(hangs="unread")
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, silence(600))  # more than the sockets between hold
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream, timeout_s=20)

    assert isinstance(failed.value.__cause__, EngineLost)
    assert str(failed.value.__cause__) == "the engine does not take audio"


async def test_all_garbage_is_dropped_and_counted_and_the_stream_lives(
    scripted: ScriptedDeepgram, client: DeepgramSTT, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.set(garbage=list(GARBAGE), flood=1_000)
    with caplog.at_level(logging.DEBUG):
        async with client.stream(conn_options=ONCE) as stream:
            push(stream, ONE)
            stream.end_input()
            events = await heard(stream)

    texts = [e.alternatives[0].text for e in events if e.alternatives]
    assert finals(events) == ["w001 w002 w003"]
    assert not any("garbage" in text for text in texts)
    assert isinstance(stream, DeepgramStream)
    assert stream.dropped_messages >= 20
    ours = [record for record in caplog.records if record.name.startswith("agents.")]
    assert len(ours) == 1
    assert "garbage" not in caplog.text + str(vars(ours[0]))


async def test_a_flood_of_interims_waits_as_one_for_a_slow_reader(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    scripted.set(garbage=["flood"], flood=20_000)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        await scripted.until(lambda s: s.connections and len(s.connections[0].interims) == 3, timeout_s=20)
        stream.end_input()
        events = await heard(stream, timeout_s=20)

    assert finals(events) == ["w001 w002 w003"]
    assert len(events) < 100  # of thousands; how many depends on how the reader is scheduled


async def test_an_engine_that_hears_no_words_still_gives_a_sign_of_life(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    scripted.set(max_final_s=1)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, SPEECH[:32_000])
        [event] = await until(stream, lambda e: True)

    assert (event.type, event.alternatives[0].text) == (KINDS.INTERIM_TRANSCRIPT, "")


async def test_a_detected_language_goes_before_the_one_asked_for(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    languages = []
    for detected in (None, "fr"):
        scripted.set(language=detected)
        async with client.stream(language="en-us", conn_options=ONCE) as stream:
            push(stream, ONE)
            stream.flush()
            events = await until(stream, is_end)
        languages += [e.alternatives[0].language for e in events if e.type is KINDS.FINAL_TRANSCRIPT]

    assert languages == ["en-US", "fr"]
    assert [c.query["language"] for c in scripted.seen().connections] == ["en-US", "en-US"]


async def test_the_key_goes_in_the_header_and_nowhere_else(
    scripted: ScriptedDeepgram, client: DeepgramSTT, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    client.on("error", errors.append)
    with caplog.at_level(logging.DEBUG):
        for script in ({}, {"accepts": 401}, {"accepts": None, "closes_after_words": 1}):
            scripted.set(**script)
            async with client.stream(conn_options=ONCE) as stream:
                push(stream, ONE)
                stream.end_input()
                try:
                    await heard(stream)
                except APIConnectionError as error:
                    logging.getLogger("agents").exception("a test looks at how this prints")
                    errors += [error, error.__cause__, error.__cause__ and error.__cause__.__context__]

    seen = scripted.seen()
    assert [attempt.key for attempt in seen.attempts] == [KEY] * 3
    assert KEY not in str([connection.query for connection in seen.connections])
    assert KEY not in caplog.text
    assert KEY not in "".join(str(vars(record)) for record in caplog.records)
    assert KEY not in repr(errors)


async def test_a_cancelled_stream_leaves_no_task_and_no_connection(
    scripted: ScriptedDeepgram, client: DeepgramSTT
) -> None:
    before = asyncio.all_tasks()
    stream = client.stream(conn_options=ONCE)
    push(stream, ONE)
    await scripted.until(lambda s: s.connections and s.connections[0].words)
    await stream.aclose()

    await scripted.until(lambda s: s.connections[0].closed_at)
    assert asyncio.all_tasks() <= before


async def test_the_registry_gives_the_provider_what_was_set_and_others_their_own(
    scripted: ScriptedDeepgram,
) -> None:
    defaults = EngineDefaults(
        provider="deepgram", base_url=scripted.url, api_key=KEY, speech_url="http://127.0.0.1:1"
    )
    engine, embedded = (
        ENGINES[name].make(defaults.complete(EngineSetup(engine=name)), Surroundings())
        for name in ("deepgram", "embedded")
    )
    async with engine.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.end_input()
        assert finals(await heard(stream)) == ["w001 w002 w003"]
    await engine.aclose()
    async with embedded.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        with pytest.raises(APIConnectionError):
            await heard(stream)
    await embedded.aclose()

    assert [c.key for c in (await scripted.until(lambda s: s.connections)).connections] == [KEY]
    assert KEY not in repr(defaults)


def test_a_job_imports_no_engine_before_it_makes_one() -> None:
    code = "import sys, agents.workers.transcriber_job; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    imported = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    engines = (
        "agents.stt.deepgram",
        "agents.stt.realtime",
        "vllm_realtime",
        "livekit.plugins",
        "onnxruntime",
    )
    assert "agents.stt.registry" in imported
    assert not [name for name in imported if name.startswith(engines)]


async def test_each_stream_is_told_the_words_to_expect_as_they_are_then(scripted: ScriptedDeepgram) -> None:
    words = ["Roomscribe"]
    client = DeepgramSTT(DeepgramOptions(base_url=scripted.url, api_key=KEY), vocabulary=lambda: tuple(words))
    for name in ("Ada Lovelace", "Grace Hopper"):
        words[-1] = name
        async with client.stream(conn_options=ONCE) as stream:
            push(stream, ONE)
            stream.end_input()
            await heard(stream)
    await client.aclose()

    assert [c.query["keyterm"] for c in scripted.seen().connections] == ["Ada Lovelace", "Grace Hopper"]


async def test_words_that_the_engine_does_not_take_cost_one_attempt(scripted: ScriptedDeepgram) -> None:
    scripted.set(accepts=400)
    client = DeepgramSTT(DeepgramOptions(base_url=scripted.url, api_key=KEY), vocabulary=lambda: ("Ada",))
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        with pytest.raises(APIConnectionError):
            await heard(stream)
    scripted.set(accepts=None)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, ONE)
        stream.end_input()
        assert finals(await heard(stream)) == ["w001 w002 w003"]
    await client.aclose()

    assert "keyterm" not in scripted.seen().connections[0].query
