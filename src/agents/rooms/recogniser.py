"""One participant's audio to segments: the buffer of what is unconfirmed → an engine's stream → the segmenter.

A stream exists only while somebody speaks and a little longer. When it fails, or another engine takes its place,
the audio that no final has confirmed is played to the next one; what a final has covered is not, so that nothing
is said twice.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from agents.audio.clock import AudioClock, SentAudio
from agents.audio.pcm import FRAME_MS, SAMPLE_RATE_HZ, Frame
from agents.audio.unconfirmed import Piece, Unconfirmed
from agents.rooms.backoff import backoff_s
from agents.rooms.chain import Attempt, Chain
from agents.rooms.progress import Progress
from agents.runtime.errors import EngineFault, EngineLost, EngineSilent
from agents.segments.segmenter import Segmenter
from contract.segments import Segment
from contract.status import Reason

CONNECT_TIMEOUT_S = 3.0
LINGER_S = 5.0
"""How long a stream is kept after speech."""
SILENT_S = 8.0
"""An engine that owes us words and has not said anything for so long is dead."""
SILENT_WHEN_ASKED_S = 30.0
"""The same for one that answers utterances: it may have to ask its server several times."""
ASK_S = 4.0
"""After so long it is asked: one that lives may only have nothing to say, and says so when an utterance ends."""
GOODBYE_S = 0.5
"""How long a stream that has said everything may take to end."""
LAST_WORDS_S = 310.0
"""How long what was said is kept for an engine once the track has ended."""
ROTATE_BEFORE_LIMIT_S = 20.0
"""Longer than an utterance: a stream that has this long to go is replaced at the next pause."""
LOOK_S = 0.25
TROUBLE_AFTER_FAILURES = 2
CLOSE_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


class OnAudio(Protocol):
    """Told how much audio an engine was given, and how much the buffer could not hold."""

    def __call__(self, *, engine: str, has_worked: bool, sent_ms: int, dropped_ms: int) -> None:
        """`has_worked`: the stream that it was given to had got an answer."""


Deliver = Callable[[Sequence[Segment]], Awaitable[None]]


class Recogniser:
    """Takes what the buffer holds; whoever fills it says so with `audio_came`."""

    def __init__(
        self,
        *,
        chain: Chain,
        unconfirmed: Unconfirmed,
        segmenter: Segmenter,
        clock: AudioClock,
        now_ms: Callable[[], float],
        language: Callable[[], str],
        deliver: Deliver,
        progress: Progress,
        on_audio: OnAudio,
    ) -> None:
        self._chain, self._unconfirmed, self._segmenter = chain, unconfirmed, segmenter
        self._clock, self._now_ms, self._language = clock, now_ms, language
        self._deliver, self._progress, self._on_audio = deliver, progress, on_audio
        self._feed: _Feed | None = None
        self._has_audio, self._has_heard = asyncio.Event(), asyncio.Event()
        self._is_finishing = False
        self._failures = 0
        """Streams in a row that failed before anything was confirmed."""
        self._counted_dropped_frames = 0

    def audio_came(self) -> None:
        """There is more in the buffer."""
        if self._feed is not None:
            self._feed.give()
        else:
            self._has_audio.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._audio_waits()
            attempt = await self._chain.choose(self._language)
            try:
                await self._rewind()  # again: more may have gone while no engine could be had
                await self._one_stream(attempt)
                self._failures = 0
            except Exception as error:  # noqa: BLE001 - an engine's plugin may raise anything; the audio is kept
                self._failures += 1
                await self._after_failure(attempt, _fault(error))
            finally:
                attempt.over()

    async def finished(self) -> None:
        """No more audio will come: until all of it is confirmed.

        An engine that cannot be had, or hangs, is waited for: what is in the buffer need not be lost.
        """
        self._is_finishing = True
        self.audio_came()
        self._has_heard.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while not self._unconfirmed.is_empty:
                    self._has_heard.clear()
                    await self._has_heard.wait()
        await self._stream_ends_by_itself()

    async def _stream_ends_by_itself(self) -> None:
        """Engines have crashed over connections that were merely cut."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                while self._feed is not None:
                    self._has_heard.clear()
                    await self._has_heard.wait()

    async def _audio_waits(self) -> None:
        while not self._unconfirmed.waits:
            self._has_audio.clear()
            await self._has_audio.wait()

    async def _after_failure(self, attempt: Attempt, fault: EngineFault) -> None:
        attempt.failed(fault)
        logger.warning(
            "an engine stream failed",
            extra={"error": type(fault).__name__, "engine": attempt.engine.name, "failures": self._failures},
        )
        if self._failures >= TROUBLE_AFTER_FAILURES:
            self._progress.note_trouble(Reason.ENGINE_DOWN)
        await self._rewind()
        self._segmenter.catch_up()
        if not self._chain.is_avoided(attempt.engine):  # else the chain says when, and who
            await asyncio.sleep(backoff_s(self._failures, jitter=random.random()))

    async def _rewind(self) -> None:
        """The next stream is to hear what is unconfirmed.

        A line that it cannot hear all of ends with the words it shows, and the rest of their audio is not heard twice.
        """
        if self._unconfirmed.rewind():
            ended = self._segmenter.close()
            for segment in ended:
                self._unconfirmed.skip_before(self._clock.frame_at(segment.end_ms))
            await self._deliver(ended)

    def _count_audio(self, attempt: Attempt, feed: "_Feed") -> None:
        sent_frames, feed.uncounted_frames = feed.uncounted_frames, 0
        dropped_frames = self._unconfirmed.dropped_frames - self._counted_dropped_frames
        self._counted_dropped_frames += dropped_frames
        if dropped_frames:
            logger.warning("audio was dropped", extra={"frames": dropped_frames})
        self._on_audio(
            engine=attempt.engine.name,
            has_worked=attempt.has_worked,
            sent_ms=sent_frames * FRAME_MS,
            dropped_ms=dropped_frames * FRAME_MS,
        )

    async def _one_stream(self, attempt: Attempt) -> None:
        """Until nobody has spoken for a while, or another stream is wanted. Raises whatever the stream raises.

        What is unconfirmed then is played to the next one.
        """
        self._segmenter.engine = attempt.engine.name
        stream = attempt.engine.stt.stream(
            language=attempt.language, conn_options=APIConnectOptions(max_retry=0, timeout=CONNECT_TIMEOUT_S)
        )
        feed = self._feed = _Feed(stream, self._unconfirmed, speaks_unasked=attempt.engine.speaks_unasked)
        minding = asyncio.create_task(self._mind(feed, attempt), name="mind a stream")
        self._progress.holds_stream = True
        try:
            async with feed.patience:
                feed.give()
                async for event in stream:
                    attempt.worked()
                    await self._heard(event, feed, attempt)
        except TimeoutError:
            if not feed.patience.expired():
                raise
            if not feed.is_cut:
                raise EngineSilent("the engine has fallen silent") from None
        finally:
            self._feed = None
            self._has_heard.set()
            self._progress.holds_stream = False
            self._count_audio(attempt, feed)
            minding.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await (
                        stream.aclose()
                    )  # first of all that waits: whoever cuts us off here has ended it already
            await asyncio.wait({minding})
        if feed.is_cut:
            await self._rewind()
            self._segmenter.catch_up()
        elif not feed.has_ended or self._unconfirmed.is_owed:
            raise EngineLost("the engine's stream has ended")

    async def _mind(self, feed: "_Feed", attempt: Attempt) -> None:
        """Ends the stream once it is not needed, or another is."""
        loop = asyncio.get_running_loop()
        rotates_at = loop.time() + attempt.engine.session_limit_s - ROTATE_BEFORE_LIMIT_S
        while not feed.has_ended:
            if self._chain.has_dropped(attempt.engine):
                feed.cut()
            feed.ends_at_pause = (
                loop.time() >= rotates_at
                or self._language() != attempt.language
                or self._chain.has_better(attempt.engine, attempt.language)
            )
            is_idle = loop.time() - feed.fed_at >= LINGER_S
            is_all_said = self._is_finishing or is_idle or feed.ends_at_pause
            if self._unconfirmed.is_empty and is_all_said:
                feed.end()
            feed.ask()
            self._has_heard.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._has_heard.wait()

    async def _heard(self, event: stt.SpeechEvent, feed: "_Feed", attempt: Attempt) -> None:
        self._progress.note_trouble(None)
        self._progress.heard_at = asyncio.get_running_loop().time()
        revisions = self._segmenter.feed(
            event,
            starts_at=lambda stream_s: self._clock.utc_ms(feed.sent.frame_at(stream_s)),
            ends_at=lambda stream_s: self._clock.utc_ms(feed.sent.end_of(stream_s)),
        )
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives:
            self._unconfirmed.confirm_before(int(feed.sent.end_of(event.alternatives[0].end_time)))
        if event.type is stt.SpeechEventType.END_OF_SPEECH and feed.ended:
            self._unconfirmed.confirm(feed.ended.popleft())
        feed.heard()
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            self._failures = 0
            self._count_audio(attempt, feed)
        if revisions:
            await self._deliver(revisions)
            self._progress.behind_ms = max(0, round(self._now_ms()) - revisions[-1].end_ms)
        if self._is_finishing:
            self._has_heard.set()


class _Feed:
    """What one stream is given, and how long it may be silent about it."""

    def __init__(
        self, stream: stt.RecognizeStream, unconfirmed: Unconfirmed, *, speaks_unasked: bool
    ) -> None:
        self._stream, self._unconfirmed, self._speaks_unasked = stream, unconfirmed, speaks_unasked
        self.patience = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._is_owed = self._is_broken = False
        self.sent = SentAudio()
        self.ended: deque[int] = deque()
        """Utterances whose end the stream was given, in order."""
        self.uncounted_frames = 0
        """Given since somebody last counted."""
        self._under_way: int | None = None
        self.fed_at = self._loop.time()
        self.ends_at_pause = self.has_ended = self.is_cut = False

    def give(self) -> None:
        """All there is, unless the stream is to end and the speaker pauses."""
        try:
            while not (self.has_ended or self._is_broken) and (piece := self._unconfirmed.take()) is not None:
                self._give(piece)
        except RuntimeError:
            # LiveKit's, for a stream that has just failed: whoever listens to it is about to hear why.
            self._is_broken = True

    def _give(self, piece: Piece) -> None:
        if piece.frame.size:
            self.sent.sent(piece.number)
            self.uncounted_frames += 1
            self._stream.push_frame(_audio_frame(piece.frame))
        self._under_way = None if piece.ends else piece.utterance
        if piece.ends:
            self.ended.append(piece.utterance)
            self._stream.flush()
            if self.ends_at_pause:
                self.end()
        self.fed_at = self._loop.time()
        if not self._is_owed and self._owes:
            self._is_owed = True
            self._be_patient()

    def heard(self) -> None:
        """The engine has said something."""
        self._is_owed = self._owes
        self._be_patient()

    @property
    def _owes(self) -> bool:
        return not self._unconfirmed.is_empty and (self._speaks_unasked or bool(self.ended))

    def _be_patient(self) -> None:
        if not self.is_cut:
            silent_s = SILENT_S if self._speaks_unasked else SILENT_WHEN_ASKED_S
            self.patience.reschedule(self._loop.time() + silent_s if self._is_owed else None)

    def ask(self) -> None:
        """Noise may go on for long without a word in it; the utterance goes on, but what there was of it has an end."""
        until = self.patience.when()
        is_due = until is not None and until - self._loop.time() <= SILENT_S - ASK_S
        if is_due and self._under_way is not None and not (self.ended or self.has_ended or self._is_broken):
            self.ended.append(self._under_way - 1)
            self._under_way = None
            self._tell(self._stream.flush)

    def cut(self) -> None:
        """Nothing more is wanted of this stream, now."""
        if not (self.is_cut or self.patience.expired()):
            self.is_cut = True
            self.patience.reschedule(self._loop.time())

    def end(self) -> None:
        """The stream gets no more; it ends by itself once it has said everything."""
        if not (self.has_ended or self._is_broken):
            self.has_ended = True
            self._tell(self._stream.end_input)

    def _tell(self, it: Callable[[], None]) -> None:
        try:
            it()
        except RuntimeError:
            # LiveKit's, for a stream that has just failed: whoever listens to it is about to hear why.
            self._is_broken = True


def _audio_frame(frame: Frame) -> rtc.AudioFrame:
    return rtc.AudioFrame(
        data=frame.tobytes(), sample_rate=SAMPLE_RATE_HZ, num_channels=1, samples_per_channel=frame.size
    )


def _fault(error: Exception) -> EngineFault:
    """LiveKit's streams fail with an APIError, whose cause is ours."""
    for each in (error, error.__cause__):
        if isinstance(each, EngineFault):
            return each
    return EngineLost("the engine's plugin failed")
