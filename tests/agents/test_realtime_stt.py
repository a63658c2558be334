"""The client of `/v1/realtime` by itself, against a server that speaks the wire."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, stt

from agents.runtime.errors import EngineFull, EngineLost, EngineRefused
from agents.stt.realtime import RealtimeOptions, RealtimeSTT
from tests.support.ports import free_port
from tests.support.stt_double import SttDouble

ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
FRAME = rtc.AudioFrame(np.full(320, 9_000, np.int16).tobytes(), 16_000, 1, 320)
KINDS = stt.SpeechEventType


@pytest.fixture
async def client(engine: SttDouble) -> AsyncIterator[RealtimeSTT]:
    client = RealtimeSTT(RealtimeOptions(base_url=engine.url, done_timeout_s=0.8, silence_timeout_s=1.0))
    yield client
    await client.aclose()


def push(stream: stt.RecognizeStream, seconds: float) -> None:
    for _ in range(round(seconds * 50)):
        stream.push_frame(FRAME)


async def heard(stream: stt.RecognizeStream) -> list[stt.SpeechEvent]:
    async with asyncio.timeout(5):
        return [event async for event in stream]


async def test_utterances_follow_each_other_on_one_connection_without_losing_audio(
    engine: SttDouble, client: RealtimeSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        for _ in range(3):  # all at once: the second and third have to wait for the one before
            push(stream, 1.2)
            stream.flush()
        stream.end_input()
        events = await heard(stream)

    finals = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert [f.text for f in finals] == ["loud0 loud1"] * 3
    assert [(round(f.start_time, 2), round(f.end_time, 2)) for f in finals] == [
        (0, 1.2),
        (1.2, 2.4),
        (2.4, 3.6),
    ]
    assert [round(u.seconds, 2) for u in engine.utterances] == [1.2] * 3
    assert engine.connections == 1
    assert sum(e.type is KINDS.END_OF_SPEECH for e in events) >= 3


async def test_interims_grow_until_the_final(engine: SttDouble, client: RealtimeSTT) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, 1.6)
        stream.flush()
        stream.end_input()
        events = await heard(stream)

    said = [(e.type, e.alternatives[0].text) for e in events if e.type is not KINDS.END_OF_SPEECH]
    assert said == [
        (KINDS.INTERIM_TRANSCRIPT, "loud0"),
        (KINDS.INTERIM_TRANSCRIPT, "loud0 loud1"),
        (KINDS.INTERIM_TRANSCRIPT, "loud0 loud1 loud2"),
        (KINDS.FINAL_TRANSCRIPT, "loud0 loud1 loud2"),
    ]


async def test_without_audio_nothing_is_committed_and_the_stream_ends(
    engine: SttDouble, client: RealtimeSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        stream.flush()
        stream.end_input()
        events = await heard(stream)

    assert {e.type for e in events} == {KINDS.END_OF_SPEECH}
    assert engine.utterances == []


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ({"refuses": 401}, EngineRefused),
        ({"refuses": 503}, EngineFull),
        ({"refuses": 500}, EngineLost),
        ({"is_full": True}, EngineFull),
        ({"fails_next_utterance": True}, EngineLost),
        ({"hangs": True}, EngineLost),
    ],
)
async def test_a_failure_ends_the_stream_and_says_of_what_kind_it_is(
    engine: SttDouble, client: RealtimeSTT, script: dict[str, object], cause: type[Exception]
) -> None:
    for name, value in script.items():
        setattr(engine.script, name, value)
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, 1)
        stream.flush()
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)

    assert type(failed.value.__cause__) is cause


async def test_an_engine_that_falls_silent_while_it_is_fed_is_found_out(
    engine: SttDouble, client: RealtimeSTT
) -> None:
    engine.script.hangs = True
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, 1)
        with pytest.raises(APIConnectionError):
            await heard(stream)


async def test_no_server_at_all_is_an_engine_lost() -> None:
    client = RealtimeSTT(RealtimeOptions(base_url=f"http://127.0.0.1:{free_port()}"))
    async with client.stream(conn_options=ONCE) as stream:
        with pytest.raises(APIConnectionError) as failed:
            await heard(stream)
    await client.aclose()

    assert isinstance(failed.value.__cause__, EngineLost)


async def test_a_connection_that_drops_in_the_middle_is_an_engine_lost(
    engine: SttDouble, client: RealtimeSTT
) -> None:
    async with client.stream(conn_options=ONCE) as stream:
        push(stream, 1)
        await engine.until(lambda e: e.utterances)
        await asyncio.to_thread(engine.shut)
        try:
            with pytest.raises(APIConnectionError) as failed:
                await heard(stream)
        finally:
            await asyncio.to_thread(engine.open)

    assert isinstance(failed.value.__cause__, EngineLost)
