"""A room's transcription: one pipeline per microphone, all of them ended when this has ended."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from livekit import rtc

from agents.rooms.changes import Microphone, RoomChanges
from agents.rooms.participant import ParticipantPipeline
from contract.status import Reason
from contract.workers import HeardUntil

RESTART_AFTER_S = 1.0
ASK_AGAIN_AFTER_S = 1.0
HEARD_LATELY_S = 30.0

logger = logging.getLogger(__name__)

MakePipeline = Callable[[Microphone, rtc.Track], ParticipantPipeline]


@dataclass(kw_only=True, eq=False)
class _Running:
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
        self._ending: set[_Running] = set()
        self._asked_at: dict[str, float] = {}
        self._unheard: set[str] = set()
        self._is_finishing = self._has_looked = False
        self._heard_until_ms: dict[str, int] = {}
        self.heard_until: tuple[HeardUntil, ...] | None = None
        """How far each track was listened to; only known once all have been left, for good."""
        self._behind_ms: int | None = None
        self._spoken_at_ms: int | None = None
        self.is_encrypted = False
        """Whether every microphone in the room is encrypted end to end, so that nothing can be transcribed."""

    async def run(self) -> None:
        """Until cancelled; every pipeline has ended when this returns."""
        async with asyncio.TaskGroup() as tasks:
            async for microphones in self._changes:
                self._reconcile(microphones, tasks)

    async def finish(self) -> None:
        """Stop listening at a pause and let every pipeline end with its last words."""
        self._is_finishing = True
        doing = self._all()
        await asyncio.gather(*(running.pipeline.finish_at_pause() for running in doing))
        for running in doing:
            self._note_heard(running.pipeline, running.track_sid)
        self.heard_until = tuple(
            HeardUntil(track_sid=sid, until_ms=ms) for sid, ms in self._heard_until_ms.items()
        )
        self._on_change()
        if doing:
            await asyncio.wait({running.task for running in doing})

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
        if self._is_finishing:
            return
        self._note_encryption(microphones)
        was_complete = self.hears_everybody
        plain = {
            microphone.track_sid: microphone for microphone in microphones if not microphone.is_encrypted
        }
        self._asked_at = {sid: at for sid, at in self._asked_at.items() if sid in plain}
        for sid, running in list(self._running.items()):
            microphone = plain.get(sid)
            if (
                microphone is None
                or microphone.publication.muted
                or microphone.publication.track is not running.track
            ):
                self._end(sid)
        for sid, microphone in plain.items():
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

    def _take_up(self, microphone: Microphone, tasks: asyncio.TaskGroup) -> None:
        track = microphone.publication.track
        if track is None:
            self._subscribe(microphone)
        elif not microphone.publication.muted and microphone.track_sid not in self._running:
            self._start(microphone, track, tasks)

    def _note_encryption(self, microphones: tuple[Microphone, ...]) -> None:
        is_encrypted = bool(microphones) and all(microphone.is_encrypted for microphone in microphones)
        if is_encrypted != self.is_encrypted:
            self.is_encrypted = is_encrypted
            self._on_change()

    def _subscribe(self, microphone: Microphone) -> None:
        """Ask until the track is there: a request may be refused, and is lost while livekit reconnects."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_at.get(microphone.track_sid, -math.inf) >= ASK_AGAIN_AFTER_S:
            microphone.publication.set_subscribed(True)
            self._asked_at[microphone.track_sid] = loop.time()
            loop.call_later(ASK_AGAIN_AFTER_S, self._changes.look_again)

    def _start(self, microphone: Microphone, track: rtc.Track, tasks: asyncio.TaskGroup) -> None:
        pipeline = self._make_pipeline(microphone, track)
        task = tasks.create_task(self._isolated(pipeline, microphone.track_sid), name="participant pipeline")
        self._running[microphone.track_sid] = _Running(
            track_sid=microphone.track_sid, track=track, pipeline=pipeline, task=task
        )
        task.add_done_callback(lambda _: self._on_change())
        logger.info("pipeline started", extra={"track_sid": microphone.track_sid})

    def _end(self, sid: str) -> None:
        """Let it say its last words; another may start beside it meanwhile, segment ids do not clash."""
        running = self._running.pop(sid)
        self._ending.add(running)
        running.task.add_done_callback(lambda _: self._ending.discard(running))
        running.pipeline.finish()

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
