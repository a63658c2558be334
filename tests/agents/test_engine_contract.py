"""Every engine of the registry goes through the same scenarios, and the same segments are expected of it.

Each has a server that speaks its real wire on a real port and hears marked words (`tests/support/engines`).
"""

import asyncio
import math
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest
from livekit.agents import APIConnectOptions, stt

from agents.rooms import chain as chain_module
from agents.rooms import recogniser as recogniser_module
from agents.rooms.chain import Chain, Engine
from agents.rooms.recogniser import ROTATE_BEFORE_LIMIT_S
from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused
from agents.stt.registry import ENGINES, Kind, Surroundings
from tests.support.engines.contract import RETRY_AFTER_S, RUBBISH, EngineServer, Fault, Row
from tests.support.engines.listening import fault_of, heard
from tests.support.engines.microphone import Microphone, push, utterance
from tests.support.engines.rows import PRESETS, ROWS

KINDS = stt.SpeechEventType
ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
UTTERANCES = (utterance(1, 2, 3), utterance(4, 5), utterance(6, 7, 8))
SAID = ["w001 w002 w003", "w004 w005", "w006 w007 w008"]
HANGING_S = 240
MOST_HELD_BYTES = 3_000_000
"""Of the 7.7 MB that so much audio is; what its server holds of a request, in the same process, counts too."""
PACE_S = 0.002
"""For each frame of 20 ms."""
PATIENCE_S = 15
CLOCK_RATE = 50.0
"""So much faster a breaker's waits pass here."""


@pytest.fixture(scope="module", params=ROWS, ids=str)
def row(request: pytest.FixtureRequest) -> Row:
    row: Row = request.param
    return row


@pytest.fixture(scope="module")
def running(row: Row) -> Iterator[EngineServer]:
    with row.serve() as server:
        yield server


@pytest.fixture
def server(running: EngineServer) -> Iterator[EngineServer]:
    """Behaving; in the end, whatever it was to do, its client has kept to the wire."""
    running.behave()
    yield running
    assert running.seen().violations == ()


@pytest.fixture
def kind(row: Row) -> Kind:
    return ENGINES[row.engine]


@pytest.fixture
async def engine(kind: Kind, server: EngineServer) -> AsyncIterator[stt.STT[str]]:
    engine = kind.make(server.setup, Surroundings())
    yield engine
    await engine.aclose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline waits as it does, only not for so long."""
    monkeypatch.setattr(recogniser_module, "SILENT_S", 1.2)
    monkeypatch.setattr(recogniser_module, "ASK_S", 0.6)
    monkeypatch.setattr(recogniser_module, "LOOK_S", 0.02)
    monkeypatch.setattr(chain_module, "LOOK_AGAIN_S", 0.02)


def chain_of(row: Row, engine: stt.STT[str], *, session_limit_s: float = math.inf) -> Chain:
    loop = asyncio.get_running_loop()
    link = Engine(name=row.engine, stt=engine, session_limit_s=session_limit_s)
    return Chain([link], on_change=lambda: None, clock=lambda: loop.time() * CLOCK_RATE)


async def until_end(stream: stt.RecognizeStream) -> list[stt.SpeechEvent]:
    """Up to the END_OF_SPEECH of a flush."""
    events = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in stream:
            events.append(event)
            if event.type is KINDS.END_OF_SPEECH:
                return events
    raise AssertionError("the stream has ended")


async def until_nothing_is_open(server: EngineServer) -> None:
    async with asyncio.timeout(5):
        while server.seen().open:  # noqa: ASYNC110 - another thread or process changes it
            await asyncio.sleep(0.01)


def texts(events: list[stt.SpeechEvent], kind: stt.SpeechEventType) -> list[str]:
    return [e.alternatives[0].text for e in events if e.type is kind and e.alternatives[0].text]


def assert_said_once_and_in_order(microphone: Microphone, row: Row) -> None:
    """The same lines whatever the engine, and whatever became of it."""
    assert [line.text for line in microphone.lines] == SAID
    for line, (begin_ms, end_ms) in zip(microphone.lines, microphone.uttered_ms, strict=True):
        revisions = [s for s in microphone.shown if s.id == line.id]
        assert [s.is_final for s in revisions] == [False] * (len(revisions) - 1) + [True]
        lengths = [len(s.text) for s in revisions]
        assert lengths == sorted(lengths), "words were taken back"
        assert begin_ms <= line.start_ms < line.end_ms <= end_ms
        assert line.engine == row.engine


def test_every_engine_of_the_registry_has_one_row() -> None:
    assert sorted([*(row.engine for row in ROWS), *PRESETS]) == sorted(ENGINES)
    assert all(ENGINES[preset].make is ENGINES[engine].make for preset, engine in PRESETS.items())


async def test_every_flush_gets_its_words_and_exactly_one_end(
    row: Row, kind: Kind, engine: stt.STT[str], server: EngineServer
) -> None:
    said_s = 0.0
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        for pcm, text in zip(UTTERANCES, SAID, strict=True):
            push(stream, pcm)
            stream.flush()
            events = await until_end(stream)
            begins_s, said_s = said_s, said_s + len(pcm) / 16_000

            assert " ".join(texts(events, KINDS.FINAL_TRANSCRIPT)) == text
            for event in events:
                if event.alternatives and event.alternatives[0].text:
                    said = event.alternatives[0]
                    assert begins_s - 1e-6 <= said.start_time <= said.end_time <= said_s + 1e-6
            interims = texts(events, KINDS.INTERIM_TRANSCRIPT)
            assert bool(interims) == kind.capabilities.interims
            assert all(text.startswith(interim) for interim in interims)
        stream.end_input()
        rest = await heard(stream, timeout_s=PATIENCE_S)
        assert not texts(rest, KINDS.FINAL_TRANSCRIPT)
        assert sum(e.type is KINDS.END_OF_SPEECH for e in rest) <= 1  # the end of the input is a flush too

    await until_nothing_is_open(server)
    assert server.seen().rude_ends == 0
    is_one_session = kind.capabilities.streaming and not row.session_is_an_utterance
    assert server.seen().sessions == (1 if is_one_session else len(UTTERANCES))


async def test_utterances_that_come_all_at_once_are_answered_one_by_one(
    engine: stt.STT[str], server: EngineServer
) -> None:
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        for pcm in UTTERANCES:
            push(stream, pcm)
            stream.flush()
        events = [await until_end(stream) for _ in UTTERANCES]
        stream.flush()  # with nothing to end
        nothing = await until_end(stream)

    assert [" ".join(texts(each, KINDS.FINAL_TRANSCRIPT)) for each in events] == SAID
    assert not texts(nothing, KINDS.FINAL_TRANSCRIPT)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Fault.BAD_KEY, EngineRefused),
        (Fault.FORBIDDEN, EngineRefused),
        (Fault.BUSY, EngineFull),
        (Fault.BROKEN, EngineLost),
        (Fault.FULL, EngineFull),
        (Fault.CUT, EngineLost),
        (Fault.SESSION_LIMIT, EngineLost),
    ],
)
async def test_a_fault_ends_the_stream_and_says_of_what_kind_it_is(
    row: Row, engine: stt.STT[str], server: EngineServer, fault: Fault, cause: type[EngineFault]
) -> None:
    server.fail(fault, times=None)
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, UTTERANCES[0])
        stream.flush()
        failed = await fault_of(stream, timeout_s=PATIENCE_S)

    assert type(failed) is cause
    if fault is Fault.BUSY and row.tells_retry_after:
        assert failed.retry_after_s == RETRY_AFTER_S
    await until_nothing_is_open(server)
    assert server.seen().rude_ends == 0


async def test_garbage_is_no_words(row: Row, engine: stt.STT[str], server: EngineServer) -> None:
    server.fail(Fault.GARBAGE)
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, UTTERANCES[0])
        stream.flush()
        if row.survives_garbage:
            events = await until_end(stream)
            assert texts(events, KINDS.FINAL_TRANSCRIPT) == SAID[:1]
            assert RUBBISH not in " ".join(texts(events, KINDS.INTERIM_TRANSCRIPT))
        else:
            assert type(await fault_of(stream, timeout_s=PATIENCE_S)) is EngineLost


async def test_an_engine_that_hangs_costs_no_memory_without_bound(
    engine: stt.STT[str], server: EngineServer
) -> None:
    server.fail(Fault.HANGS)
    second = utterance(1, seconds=1.0)
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, second)
        await asyncio.sleep(0.1)
        tracemalloc.start()
        try:
            for at_s in range(HANGING_S):
                try:
                    push(stream, second)
                    if at_s % 10 == 9:
                        stream.flush()
                except RuntimeError:
                    break  # LiveKit's, for a stream that has given up
                while not (stream._input_ch.empty() or stream._event_ch.closed):  # noqa: ASYNC110 - LiveKit's
                    await asyncio.sleep(0.002)
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert held_bytes < MOST_HELD_BYTES


@pytest.mark.parametrize("after_words", [False, True])
async def test_who_is_cut_off_leaves_no_task_and_says_goodbye(
    kind: Kind, engine: stt.STT[str], server: EngineServer, after_words: bool
) -> None:
    before = asyncio.all_tasks()
    stream = engine.stream(language="en", conn_options=ONCE)
    push(stream, UTTERANCES[0])
    if after_words:
        stream.flush()
        await until_end(stream)
        push(stream, UTTERANCES[1])
    elif kind.capabilities.streaming:
        async with asyncio.timeout(5):
            while not server.seen().open:  # noqa: ASYNC110 - another thread or process changes it
                await asyncio.sleep(0.01)
    async with asyncio.timeout(3):
        await stream.aclose()

    await until_nothing_is_open(server)
    assert server.seen().rude_ends == 0
    assert asyncio.all_tasks() <= before


async def test_at_a_speakers_pace_lines_grow_and_end(
    row: Row, engine: stt.STT[str], server: EngineServer, impatient: None
) -> None:
    microphone = Microphone(chain_of(row, engine))
    async with asyncio.timeout(20):
        await microphone.say(UTTERANCES, pace_s=PACE_S)

    assert_said_once_and_in_order(microphone, row)
    await until_nothing_is_open(server)
    assert server.seen().rude_ends == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault.BAD_KEY,
        Fault.BUSY,
        Fault.BROKEN,
        Fault.HANGS,
        Fault.CUT,
        Fault.GARBAGE,
        Fault.SESSION_LIMIT,
    ],
)
async def test_after_a_fault_every_word_is_there_once_and_in_order(
    row: Row, engine: stt.STT[str], server: EngineServer, impatient: None, fault: Fault
) -> None:
    times = 1 if fault is Fault.HANGS else 2
    server.fail(fault, times=times)
    microphone = Microphone(chain_of(row, engine))
    async with asyncio.timeout(20):
        await microphone.say(UTTERANCES)

    assert_said_once_and_in_order(microphone, row)
    if not (fault is Fault.GARBAGE and row.survives_garbage):
        assert server.seen().tries > times
    await until_nothing_is_open(server)


async def test_a_session_is_replaced_at_a_pause_before_its_limit_and_nothing_is_lost(
    row: Row, kind: Kind, engine: stt.STT[str], server: EngineServer, impatient: None
) -> None:
    microphone = Microphone(chain_of(row, engine, session_limit_s=ROTATE_BEFORE_LIMIT_S + 0.1))
    async with asyncio.timeout(20):
        await microphone.say(UTTERANCES, pace_s=0.005, waits=True)

    assert_said_once_and_in_order(microphone, row)
    if kind.capabilities.streaming:
        assert server.seen().sessions >= 2
    assert server.seen().rude_ends == 0
