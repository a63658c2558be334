"""One pipeline: frames → gate → recogniser → segments → sinks, for one microphone track."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import Protocol

from agents.audio.clock import AudioClock, WallClock
from agents.audio.gate import Gate
from agents.audio.pcm import Frame
from agents.audio.unconfirmed import Unconfirmed
from agents.audio.vad import VoiceDetector
from agents.rooms.chain import Chain
from agents.rooms.progress import Progress
from agents.rooms.recogniser import OnAudio, Recogniser
from agents.rooms.takeover import Takeover
from agents.segments.segmenter import Segmenter
from contract.segments import Segment

CUT_WITHIN_S = 1.5
"""Who is to finish at a pause waits no longer for one."""
FINAL_SENDS_S = 2.0
"""How long the sinks may take over the last words."""
LAST_SENDS_S = 0.4
"""How long the sinks may take once the pipeline has been cut off."""


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


class ParticipantPipeline:
    """Runs until its frames end, or is cancelled; either way the segment that is open gets its final."""

    def __init__(
        self,
        *,
        frames: Frames,
        chain: Chain,
        segmenter: Segmenter,
        sinks: Sequence[Sink],
        on_change: Callable[[], None],
        language: Callable[[], str],
        takeover: Takeover,
        track_sid: str,
        on_audio: OnAudio = lambda **_: None,
    ) -> None:
        self._frames, self._segmenter, self._sinks = frames, segmenter, sinks
        self._takeover, self._track_sid = takeover, track_sid
        self.progress = Progress(on_change)
        self._gate, self._detector = Gate(), VoiceDetector()
        self._clock, self._wall_clock = AudioClock(), WallClock()
        self._unconfirmed = Unconfirmed()
        self._recogniser = Recogniser(
            chain=chain,
            unconfirmed=self._unconfirmed,
            segmenter=segmenter,
            clock=self._clock,
            now_ms=self._wall_clock.now_ms,
            language=language,
            deliver=self._deliver,
            progress=self.progress,
            on_audio=on_audio,
        )
        self._finish_wanted, self._pause_wanted = asyncio.Event(), asyncio.Event()
        self._listening_ended = asyncio.Event()
        self._heard_frames = 0

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
            await _ended(listening)
            await self._frames.aclose()  # the last words may take a while, and the track is heard no more
            await self._last_words()
            patience_s = FINAL_SENDS_S
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
                self._recogniser.audio_came()
            if self._pause_wanted.is_set() and not self._gate.is_open:
                return

    async def _last_words(self) -> None:
        """No more audio will come: end the utterance and wait for what the engine still has to say."""
        if self._gate.close():
            self._unconfirmed.end()
        await self._takeover.begun()
        await self._recogniser.finished()

    async def _recognise(self) -> None:
        await self._takeover.begun()
        heard_until_ms = self._takeover.heard_until_ms(self._track_sid)
        if heard_until_ms is not None and self._heard_frames:
            self._unconfirmed.skip_before(self._clock.frame_at(heard_until_ms))
        await self._recogniser.run()

    async def _deliver(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            for sink in self._sinks:
                await sink.deliver(segment)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks of ours and see them end; their own failures were or will be seen elsewhere."""
    for task in tasks:
        if not task.cancelling():  # a second time would cut short how it ends
            task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
