"""The subtitles worker's job process: composition root of one room's transcription."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext, JobProcess, stt

from agents.audio.frames import TrackFrames
from agents.audio.vad import load_detector
from agents.rooms.changes import Microphone, RoomChanges
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.transcription import Transcription
from agents.runtime.channel import WorkerLine, line_to_worker
from agents.runtime.counts import JobCounter
from agents.runtime.errors import AgentError, EngineRefused
from agents.runtime.logs import be_discreet
from agents.runtime.roster import JobKey
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from agents.sinks.room_status import RoomStatus
from agents.sinks.room_stream import RoomStream
from agents.stt.registry import EngineOptions, make_engine
from agents.workers.lease import Lease
from contract import shapes
from contract.dispatch import DispatchMetadata
from contract.status import Reason, State, Status
from contract.workers import ClaimAnswer, JobReport

CONNECT_TIMEOUT_S = 10.0
FINISH_TIMEOUT_S = 8.0
LISTENS_WITHIN_S = 1.5
"""Who stands by says that it is ready then, even if some track could not be had."""
CLOSE_TIMEOUT_S = 0.9
DISCONNECT_TIMEOUT_S = 1.0
FLUSH_S = 0.1
"""livekit calls a stream sent once it is queued; leaving at once loses it (4 of 12 last words, measured)."""
ORPHAN_GRACE_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What the worker hands to its job processes; pickled to them."""

    socket_path: Path
    engines: EngineOptions


def prepare_process(_: JobProcess) -> None:
    """Once in each job process, before it has a job."""
    be_discreet()
    load_detector()
    threading.Thread(target=_die_with_the_worker, name="worker watch", daemon=True).start()


def _die_with_the_worker() -> None:
    """The worker's death ends its jobs by themselves, politely; this is for one whose loop is stuck."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        time.sleep(ORPHAN_GRACE_S)
        os._exit(1)


async def transcribe_room(context: JobContext, *, options: JobOptions) -> None:
    """The job's entrypoint: returns when told to leave or removed, having left the room."""
    try:
        wanted = shapes.from_json(DispatchMetadata, context.job.metadata)
        key = JobKey(session=wanted.session, generation=wanted.generation)
        async with line_to_worker(options.socket_path, key) as line:
            await RoomJob(context=context, line=line, engines=options.engines).run()
    except AgentError as error:
        logger.warning("the job could not go on", extra={"error": type(error).__name__})
    finally:
        context.shutdown(reason="the job has ended")


class RoomJob:
    """From the claim to the goodbye."""

    def __init__(self, *, context: JobContext, line: WorkerLine, engines: EngineOptions) -> None:
        self._context, self._engines = context, engines
        self._claim: ClaimAnswer = line.claim
        self._room: rtc.Room = context.room
        self._counter = JobCounter()
        self._lease = Lease(
            line=line,
            report=self._report,
            counts=lambda: self._counter.counts,
            on_language=self._news,
        )
        self._status = RoomStatus(room=self._room, fence=self._lease.fence)
        self._sequence = Sequence(line.claim.first_sequence)
        self._state: State = State.JOINING
        self._reason: Reason | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._transcription: Transcription | None = None
        self._is_leaving = self._has_had_time = False

    async def run(self) -> None:
        """Ends when the worker or the backend says so, or when LiveKit has let go of us."""
        self._room.on("disconnected", lambda *_: self._lease.is_over.set())
        self._room.on("participant_active", lambda participant: self._status.welcome(participant.identity))
        leasing = asyncio.create_task(self._lease.run(), name="lease")
        over = asyncio.create_task(self._lease.is_over.wait(), name="over")
        working = asyncio.create_task(self._join_and_transcribe(), name="work")
        finishing = asyncio.create_task(self._end_if_nothing_has_begun(), name="finish")
        try:
            await asyncio.wait({leasing, over, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # No report says so: once the worker sees us gone it reports the job lost, and the lease goes on.
            self._is_leaving = True
            doing = {working, over, leasing, finishing}
            for task in doing:
                task.cancel()
            try:
                await asyncio.wait(doing, timeout=CLOSE_TIMEOUT_S)
                await asyncio.sleep(FLUSH_S)
                self._lease.tell_once()  # the last captions count too
            finally:
                # Also when cancelled meanwhile, as livekit does once the worker is gone: the request to leave
                # is made before the first wait, so that no ghost stays in the room.
                await self._leave()
        for task in (working, leasing):
            if task.done() and not task.cancelled():
                task.result()

    async def _end_if_nothing_has_begun(self) -> None:
        """Told to finish: a transcription does so itself; a job that waits to begin, or has failed, just leaves."""
        await self._lease.is_to_finish.wait()
        if self._transcription is None or not self._lease.takeover.has_begun:
            self._lease.is_over.set()

    async def _join_and_transcribe(self) -> None:
        """The backend is asked for its word meanwhile; without it there is listening, and no more."""
        self._connecting = asyncio.create_task(
            self._context.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE), name="connect"
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                # Half-way in, livekit can neither be called back nor leave: `_leave` sees it to its end.
                await asyncio.shield(self._connecting)
        except (rtc.ConnectError, TimeoutError):
            logger.warning("the room could not be joined")
            return
        try:
            engine = make_engine(self._claim.engine, self._engines)
        except EngineRefused:
            await self._stay_failed(Reason.ENGINE_DOWN)
            return
        try:
            await self._transcribe(engine)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await engine.aclose()

    async def _stay_failed(self, reason: Reason) -> None:
        """Say so until told to leave."""
        self._state, self._reason = State.FAILED, reason
        self._tell()
        await self._status.run()

    async def _transcribe(self, engine: stt.STT[str]) -> None:
        changes = RoomChanges(room=self._room, screen_share_audio=self._claim.screen_share_audio)

        def make_pipeline(microphone: Microphone, track: rtc.Track) -> ParticipantPipeline:
            return self._pipeline(engine=engine, microphone=microphone, track=track)

        transcription = Transcription(changes=changes, make_pipeline=make_pipeline, on_change=self._news)
        self._transcription = transcription
        self._news()
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [
                    tasks.create_task(transcription.run(), name="transcription"),
                    tasks.create_task(self._status.run(), name="status"),
                    tasks.create_task(self._give_time(), name="time to listen"),
                ]
                await self._lease.is_to_finish.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FINISH_TIMEOUT_S):
                        await transcription.finish()
                for task in others:
                    task.cancel()
        finally:
            changes.close()

    async def _give_time(self) -> None:
        await asyncio.sleep(LISTENS_WITHIN_S)
        self._has_had_time = True
        self._news()

    def _pipeline(
        self, *, engine: stt.STT[str], microphone: Microphone, track: rtc.Track
    ) -> ParticipantPipeline:
        participant = microphone.participant
        segmenter = Segmenter(
            speaker=lambda: Speaker(identity=participant.identity, name=participant.name),
            track_sid=microphone.track_sid,
            engine=self._claim.engine,
            language=lambda: self._lease.language,
            sequence=self._sequence,
        )
        return ParticipantPipeline(
            frames=TrackFrames(track),
            engine=engine,
            segmenter=segmenter,
            sinks=[RoomStream(room=self._room, fence=self._lease.fence, on_sent=self._counter.sent)],
            on_change=self._news,
            takeover=self._lease.takeover,
            track_sid=microphone.track_sid,
            on_engine_failure=self._counter.engine_failed,
        )

    def _news(self) -> None:
        """Find out the state anew; tell the room and the worker."""
        if self._transcription is None or self._is_leaving:
            return
        listens = self._transcription.hears_everybody or self._has_had_time
        if self._lease.takeover.has_begun or listens:
            self._state, self._reason = _judged(self._transcription)
        self._tell()

    def _tell(self) -> None:
        self._lease.news()
        self._status.set(
            Status(
                state=self._state,
                engine=self._claim.engine,
                language=self._lease.language,
                behind_ms=self._transcription.behind_ms if self._transcription else None,
                reason=self._reason,
            )
        )

    def _report(self) -> JobReport:
        doing = self._transcription
        return JobReport(
            session=self._claim.session,
            generation=self._claim.generation,
            state=self._state,
            reason=self._reason,
            speaking=doing.speaking if doing else 0,
            last_sequence=self._sequence.last,
            behind_ms=doing.behind_ms if doing else None,
            spoken_at_ms=doing.spoken_at_ms if doing else None,
            heard_until=doing.heard_until if doing else None,
        )

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                if self._connecting is not None and not self._connecting.done():
                    await asyncio.wait({self._connecting})
                await self._room.disconnect()
        except TimeoutError:
            logger.warning("the room could not be left in time")
        finally:
            if self._connecting is not None:
                self._connecting.cancel()


def _judged(transcription: Transcription) -> tuple[State, Reason | None]:
    if transcription.is_encrypted:
        return State.FAILED, Reason.E2EE_ROOM
    if trouble := transcription.trouble:
        return State.DEGRADED, trouble
    return State.LIVE, None
