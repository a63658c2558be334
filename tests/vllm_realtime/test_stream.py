"""The client of vLLM's realtime wire by itself, against a server that treats it as vLLM would."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, stt, vad

import vllm_realtime
from tests.support.engines.microphone import push, utterance
from tests.support.ports import free_port
from tests.support.scripted_vllm import MODEL, NORMAL, Script, ScriptedVllm
from tests.vllm_realtime.conftest import KEY
from vllm_realtime import ServerLost, ServerRefused
from vllm_realtime import stt as client_module

KINDS = stt.SpeechEventType
ONCE = APIConnectOptions(max_retry=0, timeout=1.0)
ONE, TWO = utterance(1, 2, 3), utterance(4, 5)
SILENCE = np.zeros(16_000, np.int16)

Scene = Callable[[ScriptedVllm, stt.RecognizeStream], Awaitable[None]]


@asynccontextmanager
async def client(
    vllm: ScriptedVllm, *, model: str = "", max_utterance_s: float = 60.0, vad: vad.VAD | None = None
) -> AsyncIterator[vllm_realtime.STT]:
    engine = vllm_realtime.STT(
        base_url=vllm.url, api_key=KEY, model=model, max_utterance_s=max_utterance_s, vad=vad
    )
    try:
        yield engine
    finally:
        await engine.aclose()


@asynccontextmanager
async def stream_to(
    vllm: ScriptedVllm, *, model: str = "", max_utterance_s: float = 60.0, vad: vad.VAD | None = None
) -> AsyncIterator[stt.RecognizeStream]:
    async with (
        client(vllm, model=model, max_utterance_s=max_utterance_s, vad=vad) as engine,
        engine.stream(conn_options=ONCE) as stream,
    ):
        yield stream


async def heard(stream: stt.RecognizeStream) -> list[stt.SpeechEvent]:
    async with asyncio.timeout(10):
        return [event async for event in stream]


async def failure_of(stream: stt.RecognizeStream) -> APIError:
    with pytest.raises(APIError) as failed:
        await heard(stream)
    return failed.value


def texts(events: list[stt.SpeechEvent], kind: stt.SpeechEventType) -> list[str]:
    return [e.alternatives[0].text for e in events if e.type is kind and e.alternatives[0].text]


def ends(events: list[stt.SpeechEvent]) -> int:
    return sum(e.type is KINDS.END_OF_SPEECH for e in events)


async def test_one_session_hears_utterance_after_utterance_and_no_audio_is_lost_between(
    vllm: ScriptedVllm,
) -> None:
    vllm.follow(Script(last_words_s=0.2))  # what is said meanwhile has to wait
    async with stream_to(vllm) as stream:
        for _ in range(3):
            push(stream, ONE)
            stream.flush()
        stream.end_input()
        events = await heard(stream)

    assert texts(events, KINDS.FINAL_TRANSCRIPT) == ["w001 w002 w003"] * 3
    times = [
        (round(e.alternatives[0].start_time, 2), round(e.alternatives[0].end_time, 2))
        for e in events
        if e.type is KINDS.FINAL_TRANSCRIPT
    ]
    assert times == [(0, 1.6), (1.6, 3.2), (3.2, 4.8)]
    assert ends(events) == 4  # of three flushes, and of the end of the input
    [session] = vllm.sessions
    assert session.model == MODEL
    assert [u.seconds for u in session.utterances] == [1.6] * 3


async def test_deltas_are_interims_of_one_line_and_done_has_the_last_word(vllm: ScriptedVllm) -> None:
    vllm.follow(Script(done_says="W001, w002 w003."))
    async with stream_to(vllm) as stream:
        reading = asyncio.create_task(heard(stream))
        for at in range(0, len(ONE), 1_600):
            push(stream, ONE[at : at + 1_600])
            await asyncio.sleep(0.01)
        stream.end_input()
        events = await reading

    interims = texts(events, KINDS.INTERIM_TRANSCRIPT)
    assert list(dict.fromkeys(interims)) == ["w001", "w001 w002", "w001 w002 w003"]
    assert texts(events, KINDS.FINAL_TRANSCRIPT) == ["W001, w002 w003."]


async def test_without_audio_nothing_is_committed(vllm: ScriptedVllm) -> None:
    async with stream_to(vllm) as stream:
        stream.flush()
        stream.end_input()
        events = await heard(stream)

    assert [e.type for e in events] == [KINDS.END_OF_SPEECH] * 2
    assert vllm.sessions[0].utterances == []


async def test_a_monologue_never_comes_near_the_length_at_which_vllm_dies(vllm: ScriptedVllm) -> None:
    vllm.follow(Script(max_model_s=1.3))
    async with stream_to(vllm, max_utterance_s=1.0) as stream:
        for number in range(5):
            push(stream, utterance(number, seconds=1.0))
        stream.end_input()
        events = await heard(stream)

    assert texts(events, KINDS.FINAL_TRANSCRIPT) == ["w000", "w001", "w002", "w003", "w004"]
    assert ends(events) == 1
    assert not vllm.is_dead


async def test_a_vllm_that_dies_of_one_utterance_takes_every_stream_with_it(vllm: ScriptedVllm) -> None:
    vllm.follow(Script(max_model_s=1.3))
    async with stream_to(vllm) as long, stream_to(vllm) as other:
        push(other, ONE[:8_000])
        await vllm.until(lambda v: any(s.utterances for s in v.sessions))
        push(long, ONE)
        failures = [await failure_of(long), await failure_of(other)]

    assert [type(failure) for failure in failures] == [ServerLost] * 2
    assert vllm.is_dead


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(accepts=401), ServerRefused),
        (Script(accepts=429, retry_after_s=12), ServerRefused),
        (Script(accepts=500), ServerRefused),
        (Script(greets=False), ServerLost),
        (Script(greets_with="capacity"), ServerRefused),
        (Script(fails_after_words=1), ServerLost),
        (Script(fails_after_words=1, fails_with="model_not_validated"), ServerRefused),
        (Script(fails_after_words=1, close_code=1011), ServerLost),
        (Script(aborts_after_words=1), ServerLost),
        (Script(hangs="silent"), ServerLost),
        (Script(hangs_after_words=1), ServerLost),
    ],
    ids=str,
)
async def test_a_failure_ends_the_stream_says_which_it_is_and_is_a_goodbye_all_the_same(
    vllm: ScriptedVllm, script: Script, kind: type[APIError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.5)
    vllm.follow(script)
    async with stream_to(vllm) as stream:
        push(stream, ONE)
        stream.flush()
        failure = await failure_of(stream)
    await vllm.until(lambda v: not any(s.is_open for s in v.sessions))

    assert type(failure) is kind
    assert vllm.tried == 1
    if isinstance(failure, ServerRefused):
        assert failure.status_code == script.accepts or not script.accepts
        assert failure.retry_after == ("12" if script.retry_after_s else None)


async def test_an_utterance_that_the_server_ends_by_itself_has_to_be_said_again(vllm: ScriptedVllm) -> None:
    vllm.follow(Script(ends_by_itself_after_words=2))
    async with stream_to(vllm) as stream:
        push(stream, ONE)
        with pytest.raises(ServerLost):
            async for event in stream:
                assert event.type is KINDS.INTERIM_TRANSCRIPT


async def test_a_server_that_owes_done_is_not_waited_for_because_somebody_goes_on_speaking(
    vllm: ScriptedVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.3)
    vllm.follow(Script(hangs="silent"))
    async with stream_to(vllm) as stream:
        push(stream, ONE)
        stream.flush()
        failing = asyncio.create_task(failure_of(stream))
        async with asyncio.timeout(5):
            while not failing.done():
                with contextlib.suppress(RuntimeError):  # LiveKit's, for a stream that has just failed
                    push(stream, SILENCE[:320])
                await asyncio.sleep(0.02)
        assert failing.result().message == "the server has fallen silent"


async def test_a_model_that_the_server_does_not_have_is_a_refusal(vllm: ScriptedVllm) -> None:
    async with stream_to(vllm, model="another") as stream:
        failure = await failure_of(stream)

    assert isinstance(failure, ServerRefused)
    assert (failure.status_code, failure.retryable) == (404, False)


async def test_no_server_at_all_is_a_server_lost() -> None:
    engine = vllm_realtime.STT(base_url=f"http://127.0.0.1:{free_port()}/v1")
    async with engine.stream(conn_options=ONCE) as stream:
        assert isinstance(await failure_of(stream), ServerLost)
    await engine.aclose()


async def _in_the_middle_of_the_handshake(vllm: ScriptedVllm, stream: stt.RecognizeStream) -> None:
    vllm.follow(Script(accepts_after_s=0.2))
    await vllm.until(lambda v: v.tried)


async def _while_not_greeted(vllm: ScriptedVllm, stream: stt.RecognizeStream) -> None:
    vllm.follow(Script(greets=False))
    await vllm.until(lambda v: v.sessions)


async def _in_the_middle_of_a_word(vllm: ScriptedVllm, stream: stt.RecognizeStream) -> None:
    push(stream, ONE[:9_600])
    await vllm.until(lambda v: v.sessions and v.sessions[0].audio_bytes == 19_200)


async def _while_it_hangs(vllm: ScriptedVllm, stream: stt.RecognizeStream) -> None:
    vllm.follow(Script(hangs="silent"))
    push(stream, ONE)
    stream.flush()
    push(stream, TWO)
    await vllm.until(lambda v: v.sessions and v.sessions[0].audio_bytes == ONE.nbytes)


async def _between_utterances(vllm: ScriptedVllm, stream: stt.RecognizeStream) -> None:
    push(stream, ONE)
    stream.flush()
    async with asyncio.timeout(5):
        async for event in stream:
            if event.type is KINDS.END_OF_SPEECH:
                return


@pytest.mark.parametrize(
    "scene",
    [
        _in_the_middle_of_the_handshake,
        _while_not_greeted,
        _in_the_middle_of_a_word,
        _while_it_hangs,
        _between_utterances,
    ],
)
async def test_who_is_cut_off_says_goodbye_and_leaves_no_task(vllm: ScriptedVllm, scene: Scene) -> None:
    async with client(vllm) as engine:
        before = asyncio.all_tasks()
        stream = engine.stream(conn_options=ONCE)
        await scene(vllm, stream)
        await stream.aclose()
        assert asyncio.all_tasks() <= before
    await vllm.until(lambda v: not any(s.is_open for s in v.sessions))

    assert [s.close_code for s in vllm.sessions] == [NORMAL]


async def test_a_server_that_stops_reading_is_lost_and_nothing_is_left(
    vllm: ScriptedVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SEND_TIMEOUT_S", 0.5)
    vllm.follow(Script(hangs="unread"))
    async with client(vllm, max_utterance_s=1_000) as engine:
        before = asyncio.all_tasks()
        async with engine.stream(conn_options=ONCE) as stream:
            for _ in range(400):
                push(stream, SILENCE)  # more than the sockets between hold
            failure = await failure_of(stream)
        assert (type(failure), failure.message) == (ServerLost, "the server does not take audio")
        assert asyncio.all_tasks() <= before
    vllm.behave()  # who does not read hears no goodbye


async def test_a_reader_that_is_behind_finds_the_newest_interim_alone(vllm: ScriptedVllm) -> None:
    async with stream_to(vllm) as stream:
        for number in range(20):
            push(stream, utterance(number, seconds=0.5))
        await vllm.until(lambda v: v.sessions and v.sessions[0].audio_bytes == 20 * 16_000)
        await asyncio.sleep(0.1)
        stream.end_input()
        events = await heard(stream)

    assert len(texts(events, KINDS.FINAL_TRANSCRIPT)[0].split()) == 20
    assert len(events) < 12  # of 125 deltas; how many depends on how the reader is scheduled


async def test_livekits_retries_try_what_may_pass_and_nothing_else(vllm: ScriptedVllm) -> None:
    thrice = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=1.0)
    vllm.follow(Script(accepts=503), times=2)
    async with client(vllm) as engine:
        async with engine.stream(conn_options=thrice) as stream:
            push(stream, ONE)
            stream.end_input()
            assert texts(await heard(stream), KINDS.FINAL_TRANSCRIPT) == ["w001 w002 w003"]
        assert vllm.tried == 3
        vllm.follow(Script(accepts=403))
        async with engine.stream(conn_options=thrice) as stream:
            await failure_of(stream)
        assert vllm.tried == 4


async def test_the_key_goes_in_the_header_and_nowhere_else(
    vllm: ScriptedVllm, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        vllm.follow(Script(accepts=401))
        async with stream_to(vllm) as stream:
            failure = await failure_of(stream)
        logging.getLogger("tests").error("a test looks at how this prints", exc_info=failure)

    assert KEY not in caplog.text
    assert KEY not in repr([failure, failure.__cause__, failure.__context__, vars(failure)])


async def test_a_crowd_may_speak_at_once(vllm: ScriptedVllm) -> None:
    async with client(vllm) as engine:
        streams = [
            engine.stream(conn_options=APIConnectOptions(max_retry=0, timeout=9.0)) for _ in range(110)
        ]
        await vllm.until(lambda v: sum(s.model is not None for s in v.sessions) == len(streams))
        await asyncio.gather(*(stream.aclose() for stream in streams))


class LoudnessVad(vad.VAD):
    """Speech is what is not silent; it has ended after 0.2 s of silence."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.02))

    def stream(self) -> vad.VADStream:
        return _LoudnessStream(self)


class _LoudnessStream(vad.VADStream):
    async def _main_task(self) -> None:
        silent_frames, speaks = 0, False
        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                continue
            is_silent = not np.frombuffer(item.data, np.int16).any()
            silent_frames = silent_frames + 1 if is_silent else 0
            if speaks and silent_frames == 10:
                self._say(vad.VADEventType.END_OF_SPEECH)
                speaks = False
            elif not is_silent and not speaks:
                self._say(vad.VADEventType.START_OF_SPEECH)
                speaks = True

    def _say(self, kind: vad.VADEventType) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(type=kind, samples_index=0, timestamp=0.0, speech_duration=0.0, silence_duration=0.0)
        )


async def test_a_vad_ends_utterances_for_whoever_does_not_flush(vllm: ScriptedVllm) -> None:
    async with stream_to(vllm, vad=LoudnessVad()) as stream:
        reading = asyncio.create_task(heard(stream))
        for pcm in (ONE, TWO):
            push(stream, pcm)
            for _ in range(20):
                push(stream, SILENCE[:320])
                await asyncio.sleep(0.01)
        await vllm.until(lambda v: sum(u.is_done for u in v.sessions[0].utterances) == 2)
        stream.end_input()
        events = await reading

    assert texts(events, KINDS.FINAL_TRANSCRIPT) == ["w001 w002 w003", "w004 w005"]
    assert [s.close_code for s in vllm.sessions] == [NORMAL]
