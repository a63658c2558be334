"""A room's transcription: one pipeline per microphone, all of them ended when this has ended."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from livekit import rtc

from agents.rooms.changes import Microphone, RoomChanges
from agents.rooms.participant import ParticipantPipeline
from contract.status import Reason
from contract.workers import HeardUntil

RESTART_AFTER_S = 1.0
ASK_AGAIN_AFTER_S = 1.0
HEARD_LATELY_S = 30.0
LAST_WORDS_S = 6.0
"""How long a job that is to leave waits for an engine to say the rest."""
SILENT_ABOUT_LAST_WORDS_S = 2.0
LOOK_S = 0.25
ENDING_AT_MOST = 32
"""Ended tracks wait with what was said while no engine can be had, and anybody may mute and unmute without end."""

logger = logging.getLogger(__name__)

MakePipeline = Callable[[Microphone, rtc.Track], ParticipantPipeline]


@dataclass(kw_only=True, eq=False)
class _Running:
    identity: str
    track_sid: str
    track: rtc.Track
    pipeline: ParticipantPipeline
    task: asyncio.Task[None]


class Transcription:
    """Starts and ends pipelines as people come, go, mute and republish."""

    def __init__(
        self, *, changes: RoomChanges, make_pipeline: MakePipeline, on_change: Callable[[], None]
    ) -> None:
        self._changes, self._make_pipeline, self._on_change = changes, make_pipeline, on_change
        self._running: dict[str, _Running] = {}
        self._ending: dict[_Running, None] = {}
        self._asked: dict[str, tuple[bool, float]] = {}
        """Of each track, whether we asked for it or to be rid of it, and when."""
        self._unheard: set[str] = set()
        self._is_finishing = self._has_looked = False
        self._heard_until_ms: dict[str, int] = {}
        self.heard_until: tuple[HeardUntil, ...] | None = None
        """How far each track was listened to; only known once all have been left, for good."""
        self._behind_ms: int | None = None
        self._spoken_at_ms: int | None = None
        self.is_encrypted = False
        """Whether the room is encrypted end to end: every microphone there has been, so that nothing can be heard."""
        self.has_encrypted = False
        """Whether there is a microphone that cannot be heard."""
        self._has_been_plain = False

    async def run(self) -> None:
        """Until cancelled; every pipeline has ended when this returns."""
        async with asyncio.TaskGroup() as tasks:
            async for microphones in self._changes:
                self._reconcile(microphones, tasks)

    async def finish(self) -> None:
        """Stop listening at a pause and give every pipeline a moment to end with its last words."""
        self._is_finishing = True
        doing = self._all()
        await asyncio.gather(*(running.pipeline.finish_at_pause() for running in doing))
        for running in doing:
            self._note_heard(running.pipeline, running.track_sid)
        self.heard_until = tuple(
            HeardUntil(track_sid=sid, until_ms=ms) for sid, ms in self._heard_until_ms.items()
        )
        self._on_change()
        await self._last_words(doing)

    async def _last_words(self, doing: Sequence[_Running]) -> None:
        """Until all are said, or the engine takes too long: it may be behind, but not silent."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = {running.task for running in doing}
        while waiting and loop.time() - began < LAST_WORDS_S:
            heard_at = max(began, *(running.pipeline.progress.heard_at for running in doing))
            if loop.time() - heard_at >= SILENT_ABOUT_LAST_WORDS_S:
                return
            _, waiting = await asyncio.wait(waiting, timeout=LOOK_S)

    @property
    def hears_everybody(self) -> bool:
        """Whether there is a pipeline for every microphone that is open."""
        return self._has_looked and not self._unheard

    @property
    def speaking(self) -> int:
        """Pipelines that hold an engine stream."""
        return sum(running.pipeline.progress.holds_stream for running in self._all())

    @property
    def trouble(self) -> Reason | None:
        """Why captions are not what they should be, if so."""
        return next((r for running in self._all() if (r := running.pipeline.progress.trouble)), None)

    @property
    def spoken_at_ms(self) -> int | None:
        """When anybody last spoke."""
        times = [t for running in self._all() if (t := running.pipeline.progress.spoken_at_ms)]
        self._spoken_at_ms = max([*times, self._spoken_at_ms or 0]) or None
        return self._spoken_at_ms

    @property
    def behind_ms(self) -> int | None:
        """How far the captions of the slowest speaker lag; None before the first."""
        lags = [
            ms
            for running in self._all()
            if running.pipeline.progress.holds_stream
            and (ms := running.pipeline.progress.behind_ms) is not None
        ]
        self._behind_ms = max(lags) if lags else self._behind_ms
        return self._behind_ms

    def _all(self) -> list[_Running]:
        return [*self._running.values(), *self._ending]

    def _reconcile(self, microphones: tuple[Microphone, ...], tasks: asyncio.TaskGroup) -> None:
        """Everything here is synchronous, so a pipeline is registered before anything can be awaited."""
        self._cut_off_who_opted_out()
        if self._is_finishing:
            return
        wanted = tuple(microphone for microphone in microphones if microphone.is_wanted)
        self._note_encryption(wanted)
        was_complete = self.hears_everybody
        plain = {microphone.track_sid: microphone for microphone in wanted if not microphone.is_encrypted}
        here = {**plain, **{m.track_sid: m for m in microphones if not m.is_wanted}}
        self._asked = {sid: asked for sid, asked in self._asked.items() if sid in here}
        for sid, running in list(self._running.items()):
            microphone = plain.get(sid)
            if (
                microphone is None
                or microphone.publication.muted
                or microphone.publication.track is not running.track
            ):
                self._end(sid)
        for sid, microphone in here.items():
            try:
                self._take_up(microphone, tasks)
            except Exception:
                # livekit may raise anything, and one track's trouble is not the room's.
                logger.exception("a track could not be taken up", extra={"track_sid": sid})
                asyncio.get_running_loop().call_later(RESTART_AFTER_S, self._changes.look_again)
        self._has_looked = True
        self._unheard = {sid for sid, m in plain.items() if not m.publication.muted} - self._running.keys()
        if self.hears_everybody and not was_complete:
            self._on_change()

    def _cut_off_who_opted_out(self) -> None:
        """Their lines end with the words they have; what no engine has heard of them yet is dropped."""
        for running in self._all():
            if not (self._changes.wants_captions(running.identity) or running.task.cancelling()):
                if self._running.get(running.track_sid) is running:
                    del self._running[running.track_sid]
                    self._let_end(running)
                running.task.cancel()

    def _take_up(self, microphone: Microphone, tasks: asyncio.TaskGroup) -> None:
        track, sid = microphone.publication.track, microphone.track_sid
        if not microphone.is_wanted:
            was_asked_for, _ = self._asked.get(sid, (False, 0.0))
            if track is not None or was_asked_for:
                self._ask(microphone, to_hear=False)
        elif track is None:
            self._ask(microphone, to_hear=True)
        elif not microphone.publication.muted and sid not in self._running:
            self._start(microphone, track, tasks)

    def _note_encryption(self, microphones: tuple[Microphone, ...]) -> None:
        """Where anybody has ever been heard it takes more than one encrypted participant to end subtitles."""
        before = (self.is_encrypted, self.has_encrypted)
        self.has_encrypted = any(microphone.is_encrypted for microphone in microphones)
        self._has_been_plain |= any(not microphone.is_encrypted for microphone in microphones)
        self.is_encrypted = self.has_encrypted and not self._has_been_plain
        if (self.is_encrypted, self.has_encrypted) != before:
            self._on_change()

    def _ask(self, microphone: Microphone, *, to_hear: bool) -> None:
        """Until it is so: a request may be refused, and is lost while livekit reconnects."""
        loop = asyncio.get_running_loop()
        asked, at = self._asked.get(microphone.track_sid, (not to_hear, 0.0))
        if asked is not to_hear or loop.time() - at >= ASK_AGAIN_AFTER_S:
            microphone.publication.set_subscribed(to_hear)
            self._asked[microphone.track_sid] = (to_hear, loop.time())
            loop.call_later(ASK_AGAIN_AFTER_S, self._changes.look_again)

    def _start(self, microphone: Microphone, track: rtc.Track, tasks: asyncio.TaskGroup) -> None:
        pipeline = self._make_pipeline(microphone, track)
        task = tasks.create_task(self._isolated(pipeline, microphone.track_sid), name="participant pipeline")
        self._running[microphone.track_sid] = _Running(
            identity=microphone.participant.identity,
            track_sid=microphone.track_sid,
            track=track,
            pipeline=pipeline,
            task=task,
        )
        task.add_done_callback(lambda _: self._on_change())
        logger.info("pipeline started", extra={"track_sid": microphone.track_sid})

    def _end(self, sid: str) -> None:
        """Let it say its last words; another may start beside it meanwhile, segment ids do not clash."""
        running = self._running.pop(sid)
        self._let_end(running)
        running.pipeline.finish()
        if len(self._ending) > ENDING_AT_MOST:
            oldest = next(iter(self._ending))
            del self._ending[oldest]
            oldest.task.cancel()

    def _let_end(self, running: _Running) -> None:
        self._ending[running] = None
        running.task.add_done_callback(lambda _: self._ending.pop(running, None))

    def _note_heard(self, pipeline: ParticipantPipeline, track_sid: str) -> None:
        """Of tracks that have ended only the last count: who takes over has heard nothing older."""
        until_ms = pipeline.heard_until_ms
        if until_ms is not None:
            since_ms = until_ms - round(HEARD_LATELY_S * 1000)
            self._heard_until_ms = {s: ms for s, ms in self._heard_until_ms.items() if ms > since_ms}
            self._heard_until_ms[track_sid] = until_ms

    async def _isolated(self, pipeline: ParticipantPipeline, track_sid: str) -> None:
        failed = False
        try:
            await pipeline.run()
        except Exception:
            # A TaskGroup cancels all siblings at the first error, and one participant's trouble is not the room's.
            failed = True
            logger.exception("pipeline failed", extra={"track_sid": track_sid})
        self._note_heard(pipeline, track_sid)
        running = self._running.get(track_sid)
        if running is not None and running.pipeline is pipeline and not self._is_finishing:
            # Still wanted: its track has fallen silent for good, or it failed. Not at once, lest it spin.
            await asyncio.sleep(RESTART_AFTER_S)
            if self._running.get(track_sid) is running:
                del self._running[track_sid]
                self._changes.look_again()
        logger.info("pipeline ended", extra={"track_sid": track_sid, "failed": failed})
