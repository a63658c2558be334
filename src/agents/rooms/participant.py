"""One pipeline: frames → gate → engine stream → segmenter → sinks, for one microphone track.

The engine stream exists only while somebody speaks and a little longer. When it fails, the audio that no final
has confirmed is played again to the next one, for as long as there is any that is worth showing.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import Protocol

from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from agents.audio.clock import AudioClock, SentAudio, WallClock
from agents.audio.gate import Gate
from agents.audio.pcm import FRAMES_PER_S, SAMPLE_RATE_HZ, Frame
from agents.audio.unconfirmed import Piece, Unconfirmed
from agents.audio.vad import VoiceDetector
from agents.rooms.backoff import backoff_s
from agents.rooms.takeover import Takeover
from agents.runtime.errors import EngineFull, EngineLost, EngineRefused
from agents.segments.segmenter import Segmenter
from contract.segments import Segment
from contract.status import Reason

CONNECT_TIMEOUT_S = 3.0
CUT_WITHIN_S = 1.5
"""Who is to finish at a pause waits no longer for one."""
LINGER_S = 5.0
"""How long a stream is kept after speech."""
FINISH_S = 2.0
"""How long the engine may be silent about the last words once the track has ended."""
LAST_WORDS_S = 6.0
"""How long they may take, with an engine that is behind but goes on."""
LAST_SENDS_S = 0.4
"""How long the sinks may take once the pipeline has been cut off."""
REFUSED_RETRY_S = 5.0
WORTH_SHOWING_S = 30.0
"""Older audio is not played again: as a caption it would mislead."""
TROUBLE_AFTER_FAILURES = 2
CLOSE_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


class Frames(Protocol):
    """A track's audio; `aclose` ends the iteration."""

    def __aiter__(self) -> AsyncIterator[Frame]: ...

    async def aclose(self) -> None:
        """Let go of the track."""


class Sink(Protocol):
    """Where segments go."""

    async def deliver(self, segment: Segment) -> None:
        """May wait when it cannot keep up."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def drained(self) -> None:
        """Until all that was delivered is out."""


class Progress:
    """What a pipeline tells of itself; plain values, read by whoever reports."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.holds_stream = False
        self.trouble: Reason | None = None
        self.spoken_at_ms: int | None = None
        self.behind_ms: int | None = None

    def note_trouble(self, trouble: Reason | None) -> None:
        """A change is told at once."""
        if trouble is not self.trouble:
            self.trouble = trouble
            self._on_change()


class ParticipantPipeline:
    """Runs until its frames end, or is cancelled; either way the segment that is open gets its final."""

    def __init__(
        self,
        *,
        frames: Frames,
        engine: stt.STT[str],
        segmenter: Segmenter,
        sinks: Sequence[Sink],
        on_change: Callable[[], None],
        takeover: Takeover,
        track_sid: str,
        on_engine_failure: Callable[[Reason], None] = lambda _: None,
    ) -> None:
        self._frames, self._engine, self._segmenter, self._sinks = frames, engine, segmenter, sinks
        self._takeover, self._track_sid = takeover, track_sid
        self.progress = Progress(on_change)
        self._on_engine_failure = on_engine_failure
        self._gate, self._detector = Gate(), VoiceDetector()
        self._clock, self._wall_clock = AudioClock(), WallClock()
        self._unconfirmed = Unconfirmed()
        self._has_audio, self._has_heard = asyncio.Event(), asyncio.Event()
        self._finish_wanted, self._pause_wanted = asyncio.Event(), asyncio.Event()
        self._listening_ended = asyncio.Event()
        self._heard_frames = self._logged_dropped_frames = 0
        self._ended: deque[int] = deque()  # utterances whose end the stream was given, in order
        self._is_finishing = False
        self._has_progressed = False

    async def run(self) -> None:
        """Transcribe until the track ends; then give the engine a moment for the last words."""
        sinking = [asyncio.create_task(sink.run(), name="sink") for sink in self._sinks]
        recognising = asyncio.create_task(self._recognise(), name="recognise")
        listening = asyncio.create_task(self._listen(self._frames), name="listen")
        finishing = asyncio.create_task(self._is_to_finish(), name="finish")
        patience_s = LAST_SENDS_S
        try:
            doing = {listening, recognising, finishing, *sinking}
            await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
            for task in doing:
                if task.done():
                    task.result()  # raises what it failed with
            listening.cancel()
            self._listening_ended.set()
            await self._last_words()
            patience_s = FINISH_S
        finally:
            self._listening_ended.set()
            listening.cancel()
            recognising.cancel()
            # Viewers first: an engine may take its time to close.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._deliver(self._segmenter.close())
                    await asyncio.gather(*(sink.drained() for sink in self._sinks))
            # Then the track, which keeps the room from being left.
            try:
                await _ended(listening)
                await self._frames.aclose()
            finally:
                await _ended(recognising, finishing, *sinking)

    def finish(self) -> None:
        """Stop listening, so that `run` comes to its end with the last words."""
        self._finish_wanted.set()

    async def finish_at_pause(self) -> None:
        """As `finish`, but not in the middle of a word if that can be helped; returns when it has stopped listening."""
        self._gate.hurry()
        self._pause_wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_WITHIN_S):
                await self._listening_ended.wait()
        self.finish()
        await self._listening_ended.wait()

    @property
    def heard_until_ms(self) -> int | None:
        """Up to when the track was listened to (UTC epoch); None: not at all."""
        return self._clock.utc_ms(self._heard_frames) if self._heard_frames else None

    async def _is_to_finish(self) -> None:
        await self._finish_wanted.wait()

    async def _listen(self, frames: AsyncIterable[Frame]) -> None:
        async for frame in frames:
            self._heard_frames += 1
            now_ms = self._wall_clock.now_ms()
            self._clock.heard(frames=self._heard_frames, now_ms=now_ms)
            is_voice = self._detector.is_voice(frame)
            if passage := self._gate.feed(frame, is_voice=is_voice):
                if is_voice:
                    self.progress.spoken_at_ms = round(now_ms)
                self._unconfirmed.add(passage)
                self._has_audio.set()
            if self._pause_wanted.is_set() and not self._gate.is_open:
                return

    async def _last_words(self) -> None:
        """No more audio will come: end the utterance and wait for what the engine still has to say."""
        self._is_finishing = True
        if self._gate.close():
            self._unconfirmed.end()
        self._has_audio.set()
        await self._takeover.begun()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while not self._unconfirmed.is_empty:
                    self._has_heard.clear()
                    async with asyncio.timeout(FINISH_S):
                        await self._has_heard.wait()

    async def _recognise(self) -> None:
        """A stream while somebody speaks; another when it fails."""
        await self._takeover.begun()
        heard_until_ms = self._takeover.heard_until_ms(self._track_sid)
        if heard_until_ms is not None and self._heard_frames:
            self._unconfirmed.skip_before(self._clock.frame_at(heard_until_ms))
        failures = 0
        while True:
            self._log_dropped()
            await self._audio_waits()
            try:
                await self._one_stream()
                failures = 0
            except Exception as error:  # noqa: BLE001 - an engine's plugin may raise anything; the audio is kept
                failures = 1 if self._has_progressed else failures + 1
                await self._after_failure(error.__cause__ or error, failures=failures)

    async def _audio_waits(self) -> None:
        while not self._unconfirmed.waits:
            self._has_audio.clear()
            await self._has_audio.wait()

    async def _after_failure(self, error: BaseException, *, failures: int) -> None:
        refused = isinstance(error, EngineRefused)
        self._on_engine_failure(_reason(error))
        logger.warning(
            "an engine stream failed",
            extra={"error": type(error).__name__, "failures": failures},
        )
        if failures >= TROUBLE_AFTER_FAILURES or refused:
            self.progress.note_trouble(_reason(error))
        await asyncio.sleep(REFUSED_RETRY_S if refused else backoff_s(failures, jitter=random.random()))
        self._unconfirmed.forget_before(self._heard_frames - round(WORTH_SHOWING_S * FRAMES_PER_S))
        if self._unconfirmed.is_empty:
            # No stream will be tried before somebody speaks, so none could say that the engine is back.
            self.progress.note_trouble(None)
        if self._unconfirmed.rewind():
            await self._deliver(self._segmenter.close())
        self._segmenter.catch_up()

    def _log_dropped(self) -> None:
        dropped_frames = self._unconfirmed.dropped_frames
        if dropped_frames > self._logged_dropped_frames:
            logger.warning(
                "audio was dropped", extra={"frames": dropped_frames - self._logged_dropped_frames}
            )
        self._logged_dropped_frames = dropped_frames

    async def _one_stream(self) -> None:
        """Until nobody has spoken for a while. Raises whatever the engine's stream raises."""
        self._has_progressed = False
        self._ended.clear()
        sent = SentAudio()
        stream = self._engine.stream(conn_options=APIConnectOptions(max_retry=0, timeout=CONNECT_TIMEOUT_S))
        feeding = asyncio.create_task(self._feed(stream, sent), name="feed")
        self.progress.holds_stream = True
        try:
            async for event in stream:
                await self._heard(event, sent)
            if not feeding.done():
                raise EngineLost("the engine's stream has ended")
        finally:
            self.progress.holds_stream = False
            feeding.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await stream.aclose()
            await _ended(feeding)

    async def _feed(self, stream: stt.RecognizeStream, sent: SentAudio) -> None:
        while (piece := await self._next_piece()) is not None:
            if piece.frame.size:
                sent.sent(piece.number)
                stream.push_frame(_audio_frame(piece.frame))
            if piece.ends:
                self._ended.append(piece.utterance)
                stream.flush()
        stream.end_input()

    async def _next_piece(self) -> Piece | None:
        """None when the stream is no longer needed."""
        loop = asyncio.get_running_loop()
        idle_at = loop.time() + LINGER_S
        while (piece := self._unconfirmed.take()) is None:
            if self._is_finishing and self._unconfirmed.is_empty:
                return None
            if loop.time() >= idle_at and not self._ended:
                return None
            self._has_audio.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.1, idle_at - loop.time())):
                    await self._has_audio.wait()
        return piece

    async def _heard(self, event: stt.SpeechEvent, sent: SentAudio) -> None:
        self._has_progressed = True
        self.progress.note_trouble(None)
        revisions = self._segmenter.feed(
            event,
            starts_at=lambda stream_s: self._clock.utc_ms(sent.frame_at(stream_s)),
            ends_at=lambda stream_s: self._clock.utc_ms(sent.end_of(stream_s)),
        )
        await self._deliver(revisions)
        if revisions:
            self.progress.behind_ms = max(0, round(self._wall_clock.now_ms()) - revisions[-1].end_ms)
        if event.type is stt.SpeechEventType.END_OF_SPEECH and self._ended:
            self._unconfirmed.confirm(self._ended.popleft())
        self._has_heard.set()

    async def _deliver(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            for sink in self._sinks:
                await sink.deliver(segment)


def _audio_frame(frame: Frame) -> rtc.AudioFrame:
    return rtc.AudioFrame(
        data=frame.tobytes(), sample_rate=SAMPLE_RATE_HZ, num_channels=1, samples_per_channel=frame.size
    )


def _reason(error: BaseException) -> Reason:
    if isinstance(error, EngineRefused):
        return Reason.ENGINE_AUTH
    if isinstance(error, EngineFull):
        return Reason.AT_CAPACITY
    return Reason.ENGINE_DOWN


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks of ours and see them end; their own failures were or will be seen elsewhere."""
    for task in tasks:
        if not task.cancelling():  # a second time would cut short how it ends
            task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
