"""A pipeline with an engine's plugin that does what LiveKit's interface allows a plugin to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import numpy as np
import pytest
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)

from agents.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Chunker, Frame
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.takeover import Takeover
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from contract.segments import Segment
from contract.status import Reason
from tests.support.clips import at_level, clip, silence

SPEECH = at_level(np.concatenate([clip("slt"), clip("awb"), clip("rms"), clip("slt"), clip("awb")]), 30_000)
Behaviour = Callable[["Stream"], Awaitable[None]]


class Stream(stt.RecognizeStream):
    def __init__(self, engine: stt.STT[str], behaviour: Behaviour, options: APIConnectOptions) -> None:
        super().__init__(stt=engine, conn_options=options, sample_rate=SAMPLE_RATE_HZ)
        self._behaviour = behaviour

    async def _run(self) -> None:
        await self._behaviour(self)

    async def hear(self) -> None:
        """Until there is audio."""
        await self._input_ch.recv()

    def say(self, text: str) -> None:
        said = stt.SpeechData(language=LanguageCode("en"), text=text, start_time=0.0, end_time=0.1)
        self._event_ch.send_nowait(
            stt.SpeechEvent(type=stt.SpeechEventType.INTERIM_TRANSCRIPT, alternatives=[said])
        )


class Engine(stt.STT[str]):
    """Its streams behave as told, in turn; the last behaviour stays."""

    def __init__(self, *behaviours: Behaviour) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._behaviours = list(behaviours)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> Stream:
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        return Stream(self, behaviour, conn_options)

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


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


def pipeline(track: Track, engine: Engine, screen: Screen, told: Told) -> ParticipantPipeline:
    ids = count()
    segmenter = Segmenter(
        speaker=lambda: Speaker(identity="ada", name="Ada"),
        track_sid="TR",
        engine="embedded",
        language=lambda: "en",
        sequence=Sequence(1),
        new_id=lambda: f"id-{next(ids)}",
    )
    takeover = Takeover()
    takeover.begin(())
    return ParticipantPipeline(
        frames=track,
        engine=engine,
        segmenter=segmenter,
        sinks=[screen],
        on_change=told,
        takeover=takeover,
        track_sid="TR_1",
    )


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def failed() -> APIConnectionError:
    return APIConnectionError("it failed", retryable=False)


@pytest.mark.parametrize(("outage_s", "lines"), [(2, ["id-0"]), (25, ["id-0", "id-1"])])
async def test_after_an_outage_a_line_goes_on_only_if_all_of_it_can_be_heard_again(
    outage_s: int, lines: list[str]
) -> None:
    outage = asyncio.Event()

    async def fails(stream: Stream) -> None:
        await stream.hear()
        stream.say("before")
        await outage.wait()
        raise failed()

    async def works(stream: Stream) -> None:
        await stream.hear()
        stream.say("and after it")
        await asyncio.Event().wait()

    track, screen, told = Track(), Screen(), Told()
    running = asyncio.create_task(pipeline(track, Engine(fails, works), screen, told).run())
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


async def test_trouble_is_over_once_nothing_said_is_left_to_try_the_engine_with() -> None:
    async def fails(_: Stream) -> None:
        raise failed()

    track, told = Track(), Told()
    work = pipeline(track, Engine(fails), Screen(), told)
    running = asyncio.create_task(work.run())
    await track.heard(SPEECH[:SAMPLE_RATE_HZ])
    await told.until(lambda: work.progress.trouble is Reason.ENGINE_DOWN)
    await track.heard(silence(35))
    await told.until(lambda: work.progress.trouble is None)
    await cancelled(running)
