"""A pipeline with an engine's plugin that does what LiveKit's interface allows a plugin to do."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from itertools import count

import numpy as np
import pytest

from agents.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Chunker, Frame
from agents.rooms import chain
from agents.rooms.chain import Chain
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.recogniser import ROTATE_BEFORE_LIMIT_S
from agents.rooms.takeover import Takeover
from agents.runtime.errors import EngineFull
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from contract.segments import Segment
from contract.status import Reason
from tests.support.clips import at_level, clip, silence
from tests.support.engine_double import Engine, Stream, failed

SPEECH = at_level(np.concatenate([clip("slt"), clip("awb"), clip("rms"), clip("slt"), clip("awb")]), 30_000)


class Track:
    """Audio as fast as it is read."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Frame] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def heard(self, pcm: np.ndarray) -> None:
        """Until the pipeline has taken it all."""
        for frame in Chunker(FRAME_SAMPLES).feed(pcm):
            self._queue.put_nowait(frame)
        await self._queue.join()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            yield await self._queue.get()
            self._queue.task_done()
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        self.closed.set()


class Screen:
    def __init__(self) -> None:
        self.shown: asyncio.Queue[Segment] = asyncio.Queue()

    async def deliver(self, segment: Segment) -> None:
        self.shown.put_nowait(segment)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def drained(self) -> None:
        pass

    async def next(self) -> Segment:
        async with asyncio.timeout(5):
            return await self.shown.get()


class Told:
    """Of changes of a pipeline's progress."""

    def __init__(self) -> None:
        self._has_changed = asyncio.Event()

    def __call__(self) -> None:
        self._has_changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                self._has_changed.clear()
                await self._has_changed.wait()


def chain_of(*engines: Engine, told: Told, session_limit_s: float = math.inf) -> Chain:
    """Called `first`, `second` …."""
    named = zip(("first", "second", "third"), engines, strict=False)
    links = [chain.Engine(name=name, stt=engine, session_limit_s=session_limit_s) for name, engine in named]
    return Chain(links, on_change=told)


def pipeline(
    track: Track,
    engines: Engine | Chain,
    screen: Screen,
    told: Told,
    language: Callable[[], str] = lambda: "en",
) -> ParticipantPipeline:
    ids = count()
    segmenter = Segmenter(
        speaker=lambda: Speaker(identity="ada", name="Ada"),
        track_sid="TR",
        engine="first",
        language=language,
        sequence=Sequence(1),
        new_id=lambda: f"id-{next(ids)}",
    )
    takeover = Takeover()
    takeover.begin(())
    return ParticipantPipeline(
        frames=track,
        chain=engines if isinstance(engines, Chain) else chain_of(engines, told=told),
        segmenter=segmenter,
        sinks=[screen],
        on_change=told,
        language=language,
        takeover=takeover,
        track_sid="TR_1",
    )


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize(("outage_s", "lines"), [(2, ["id-0"]), (40, ["id-0", "id-1"])])
async def test_after_an_outage_a_line_goes_on_only_if_all_of_it_can_be_heard_again(
    outage_s: int, lines: list[str]
) -> None:
    outage = asyncio.Event()

    async def fails_later(stream: Stream) -> None:
        await stream.hear()
        stream.say("before")
        await outage.wait()
        raise failed()

    async def works(stream: Stream) -> None:
        await stream.hear()
        stream.say("and after it")
        await asyncio.Event().wait()

    track, screen, told = Track(), Screen(), Told()
    running = asyncio.create_task(pipeline(track, Engine(fails_later, works), screen, told).run())
    await track.heard(SPEECH[:SAMPLE_RATE_HZ])
    shown = [await screen.next()]
    await track.heard(SPEECH[SAMPLE_RATE_HZ : (1 + outage_s) * SAMPLE_RATE_HZ])
    outage.set()
    while shown[-1].text != "and after it":
        shown.append(await screen.next())
    await cancelled(running)

    assert list(dict.fromkeys(s.id for s in shown)) == lines
    assert [s.text for s in shown if s.is_final] == ["before"] * (len(lines) - 1)


async def test_an_engine_that_will_not_close_does_not_keep_the_track() -> None:
    opened, may_close = asyncio.Event(), asyncio.Event()

    async def hangs(_: Stream) -> None:
        opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            await may_close.wait()

    track = Track()
    running = asyncio.create_task(pipeline(track, Engine(hangs), Screen(), Told()).run())
    await track.heard(SPEECH[:SAMPLE_RATE_HZ])
    await opened.wait()
    running.cancel()
    async with asyncio.timeout(1):
        await track.closed.wait()
    may_close.set()
    await asyncio.wait({running})


async def fails(_: Stream) -> None:
    raise failed()


async def transcribes(stream: Stream) -> None:
    await stream.transcribe()


async def test_what_a_final_covers_is_not_heard_again_and_all_the_rest_is() -> None:
    async def covers_one_second(stream: Stream) -> None:
        await stream.hear(2.0)
        stream.say("one", is_final=True, until_s=1.0)
        stream.say("two")
        await shown_all.wait()
        raise failed()

    async def works(stream: Stream) -> None:
        await stream.hear(1.0)
        stream.say("two three", is_final=True, until_s=1.0)
        await asyncio.Event().wait()

    track, screen, told, shown_all = Track(), Screen(), Told(), asyncio.Event()
    engine = Engine(covers_one_second, works)
    running = asyncio.create_task(pipeline(track, engine, screen, told).run())
    await track.heard(SPEECH[: 3 * SAMPLE_RATE_HZ])
    assert [(await screen.next()).text for _ in range(2)] == ["one", "two"]
    shown_all.set()
    after = await screen.next()
    await cancelled(running)

    assert (after.text, after.id, after.is_final) == ("two three", "id-1", True)
    before, again = (np.concatenate(stream.heard) for stream in engine.streams)
    assert np.array_equal(before[SAMPLE_RATE_HZ:], again[: len(before) - SAMPLE_RATE_HZ])


async def test_another_engine_goes_on_with_what_was_said_and_the_line_tells_which() -> None:
    async def drops(stream: Stream) -> None:
        await stream.hear(1.0)
        raise failed(EngineFull("full"))

    async def works(stream: Stream) -> None:
        await stream.hear(1.0)
        stream.say("all of it")
        await asyncio.Event().wait()

    track, screen, told = Track(), Screen(), Told()
    engines = (Engine(drops), Engine(works))
    chain = chain_of(*engines, told=told)
    running = asyncio.create_task(pipeline(track, chain, screen, told).run())
    await track.heard(SPEECH[: 2 * SAMPLE_RATE_HZ])
    shown = await screen.next()
    await cancelled(running)

    assert (shown.text, shown.engine) == ("all of it", "second")
    assert (chain.in_use, chain.trouble) == ("second", Reason.AT_CAPACITY)
    first, second = (np.concatenate(engine.streams[0].heard) for engine in engines)
    assert np.array_equal(first, second[: len(first)])


async def test_the_first_engine_is_returned_to_at_a_pause_once_it_is_healthy() -> None:
    track, screen, told = Track(), Screen(), Told()
    chain = chain_of(Engine(fails, transcribes), Engine(transcribes), told=told)
    running = asyncio.create_task(pipeline(track, chain, screen, told).run())
    await track.heard(np.concatenate([SPEECH[: 1 * SAMPLE_RATE_HZ], silence(1)]))
    engines = [(await screen.next()).engine]
    assert chain.trouble is Reason.ENGINE_DOWN
    while chain.trouble:  # sentence after sentence, until the breaker lets somebody try
        await track.heard(np.concatenate([SPEECH[: 1 * SAMPLE_RATE_HZ], silence(1)]))
        engines.append((await screen.next()).engine)
        await asyncio.sleep(0.05)
    await cancelled(running)

    assert engines[0] == "second"
    assert engines[-1] == chain.in_use == "first"


async def test_an_engine_that_takes_audio_and_says_nothing_is_given_up_in_time() -> None:
    async def hangs(stream: Stream) -> None:
        await asyncio.Event().wait()

    async def works(stream: Stream) -> None:
        await stream.hear(1.0)
        stream.say("still known")
        await asyncio.Event().wait()

    track, screen, told = Track(), Screen(), Told()
    running = asyncio.create_task(pipeline(track, Engine(hangs, works), screen, told).run())
    await track.heard(SPEECH[: 2 * SAMPLE_RATE_HZ])
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        shown = await screen.shown.get()
    took_s = asyncio.get_running_loop().time() - began
    await cancelled(running)

    assert shown.text == "still known"
    assert took_s > 5  # not a hasty one either


async def test_a_stream_is_replaced_at_a_pause_before_its_engines_limit() -> None:
    track, screen, told = Track(), Screen(), Told()
    engine = Engine(transcribes)
    chain = chain_of(engine, told=told, session_limit_s=ROTATE_BEFORE_LIMIT_S + 0.1)
    running = asyncio.create_task(pipeline(track, chain, screen, told).run())
    for _ in range(3):
        await track.heard(np.concatenate([SPEECH[: 1 * SAMPLE_RATE_HZ], silence(1)]))
        assert (await screen.next()).is_final
        await asyncio.sleep(0.4)  # of a session's time
    await cancelled(running)

    assert len(engine.streams) == 3
    assert chain.trouble is None


async def test_a_change_of_language_reaches_the_engine_at_the_next_pause() -> None:
    track, screen, told, spoken = Track(), Screen(), Told(), ["en"]
    engine = Engine(transcribes)
    running = asyncio.create_task(pipeline(track, engine, screen, told, language=lambda: spoken[-1]).run())
    for language in ("en", "de"):
        spoken.append(language)
        await track.heard(np.concatenate([SPEECH[: 1 * SAMPLE_RATE_HZ], silence(1)]))
        await screen.next()
        await asyncio.sleep(0.4)  # the stream is looked after four times a second
    await track.heard(np.concatenate([SPEECH[: 1 * SAMPLE_RATE_HZ], silence(1)]))
    await screen.next()
    await cancelled(running)

    assert engine.languages[0] == "en"
    assert engine.languages[-1] == "de"


async def test_who_mutes_while_no_engine_can_be_had_is_still_captioned() -> None:
    is_back = asyncio.Event()

    async def comes_back(stream: Stream) -> None:
        if not is_back.is_set():
            raise failed()
        await stream.transcribe()

    track, screen, told = Track(), Screen(), Told()
    chain = chain_of(Engine(comes_back), told=told)
    work = pipeline(track, chain, screen, told)
    running = asyncio.create_task(work.run())
    await track.heard(SPEECH[: 1 * SAMPLE_RATE_HZ])
    await told.until(lambda: chain.trouble is not None)
    work.finish()
    await asyncio.sleep(3)  # longer than an engine may be silent about last words
    is_back.set()
    async with asyncio.timeout(5):
        shown = await screen.shown.get()
        await running

    assert (shown.text, shown.is_final) == ("said", True)
