"""The subtitles worker's job process: composition root of one room's transcription."""

import asyncio
import contextlib
import functools
import logging
import multiprocessing
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext, JobProcess

from agents.audio.frames import TrackFrames
from agents.audio.vad import load_detector
from agents.rooms.chain import Chain
from agents.rooms.changes import Microphone, RoomChanges, names_of_people
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.transcription import Transcription
from agents.rooms.wishes import Wishbook
from agents.runtime.channel import WorkerLine, line_to_worker
from agents.runtime.counts import JobCounter
from agents.runtime.errors import AgentError
from agents.runtime.logs import be_discreet
from agents.runtime.roster import JobKey
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from agents.sinks.backlog import Backlog
from agents.sinks.hand_over import HandOver
from agents.sinks.newcomers import Newcomers
from agents.sinks.posted import Posted
from agents.sinks.record import Record
from agents.sinks.room_status import RoomStatus
from agents.sinks.room_stream import RoomStream
from agents.sinks.spool import Spool
from agents.stt.dialing import DialingRules
from agents.stt.registry import EngineDefaults
from agents.stt.vocabulary import vocabulary_of
from agents.workers.equipment import Equipment
from agents.workers.lease import Lease
from contract import names, shapes
from contract.dispatch import DispatchMetadata
from contract.engines import SessionEngines
from contract.segments import Segment
from contract.status import Reason, State, Status
from contract.transcripts import Transcript
from contract.workers import ClaimAnswer, JobCommand, JobReport, Order

CONNECT_TIMEOUT_S = 10.0
FINISH_TIMEOUT_S = 8.0
LISTENS_WITHIN_S = 1.5
"""Who stands by says that it is ready then, even if some track could not be had."""
CLOSE_TIMEOUT_S = 0.9
DISCONNECT_TIMEOUT_S = 1.0
WRITTEN_WITHIN_S = 0.3
FLUSH_S = 0.1
"""livekit calls a stream sent once it is queued; leaving at once loses it (4 of 12 last words, measured)."""
ORPHAN_GRACE_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What the worker hands to its job processes; pickled to them."""

    socket_path: Path
    spool: Path
    worker_tag: str
    """In the names of its files in the spool."""
    engines: EngineDefaults
    rules: DialingRules
    backlog_segments: int = 50
    backlog_max_age_ms: int = 10 * 60_000


def prepare_process(_: JobProcess, *, directory: Path) -> None:
    """Once in each job process, before it has a job; `directory` is where each job may have a folder."""
    be_discreet()
    # livekit-agents makes that folder. Looking for a place Python would write a file: on a full disk no job began.
    tempfile.tempdir = str(directory)
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
            await RoomJob(context=context, line=line, options=options).run()
    except AgentError as error:
        logger.warning("the job could not go on", extra={"error": type(error).__name__})
    finally:
        context.shutdown(reason="the job has ended")


class RoomJob:
    """From the claim to the goodbye."""

    def __init__(self, *, context: JobContext, line: WorkerLine, options: JobOptions) -> None:
        self._context = context
        self._claim: ClaimAnswer = line.claim
        self._room: rtc.Room = context.room
        self._wanted = line.engines
        self._wishes = Wishbook(line.claim.wishes)
        self._equipment = Equipment(
            defaults=options.engines, rules=options.rules, vocabulary=self._vocabulary
        )
        self._shortfall: Reason | None = None
        self._counter = JobCounter()
        self._lease = Lease(
            line=line,
            report=self._report,
            counts=lambda: self._counter.counts,
            on_language=self._news,
            on_engines=self._use,
            on_command=self._follow,
        )
        self._record = Record(
            kept_since_ms=line.claim.kept_since_ms,
            write=functools.partial(
                Spool(options.spool).write,
                writer=options.worker_tag,
                session=line.claim.session,
                generation=line.claim.generation,
            ),
            hand_in=line.hand_in,
            on_lost=self._counter.final_lost,
        )
        self._status = RoomStatus(room=self._room, fence=self._lease.fence)
        self._backlog = Backlog(
            limit=options.backlog_segments,
            max_age_ms=options.backlog_max_age_ms,
            shown_name=lambda said: self._wishes.shown_name(
                identity=said.speaker_identity, name=said.speaker_name
            ),
        )
        self._newcomers = Newcomers(room=self._room, fence=self._lease.fence, backlog=self._backlog)
        self._hand_over = HandOver(room=self._room, fence=self._lease.fence, backlog=self._backlog)
        self._sequence = Sequence(line.claim.first_sequence)
        self._posted = Posted(
            room=self._room,
            fence=self._lease.fence,
            on_arrival=self._make_room_for,
            on_taken=self._lease.news,
        )
        self._changes: RoomChanges | None = None
        self._state: State = State.JOINING
        self._reason: Reason | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._transcription: Transcription | None = None
        self._chain: Chain | None = None
        self._is_leaving = self._has_had_time = False

    async def run(self) -> None:
        """Ends when the worker or the backend says so, or when LiveKit has let go of us."""
        self._room.on("disconnected", lambda *_: self._lease.is_over.set())
        self._room.on("participant_active", lambda participant: self._welcome(participant.identity))
        self._hand_over.listen()
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
                await self._record.settled(within_s=WRITTEN_WITHIN_S)
                await asyncio.sleep(FLUSH_S)
                self._lease.tell_once()  # the last captions count too
            finally:
                # Also when cancelled meanwhile, as livekit does once the worker is gone: the request to leave
                # is made before the first wait, so that no ghost stays in the room.
                await self._leave()
        for task in (working, leasing):
            if task.done() and not task.cancelled():
                task.result()

    def _welcome(self, identity: str) -> None:
        self._status.welcome(identity)
        self._newcomers.welcome(identity)

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
        equipped = self._equipment.equipped(self._wanted)
        self._shortfall = equipped.shortfall
        chain = Chain(equipped.engines, on_change=self._news, on_failure=self._counter.engine_failed)
        try:
            await self._transcribe(chain)
        finally:
            await chain.aclose()

    def _use(self, wanted: SessionEngines) -> None:
        """Other engines than before, from now on."""
        self._wanted = wanted
        if self._chain is not None:
            equipped = self._equipment.equipped(wanted)
            self._shortfall = equipped.shortfall
            self._chain.renew(equipped.engines)
            self._news()

    def _follow(self, command: JobCommand) -> None:
        """What people of the room want from now on."""
        if command.wishes is not None and command.wishes.revision != self._wishes.revision:
            self._wishes.renew(command.wishes)
            self._lease.news()
            if self._changes is not None:
                self._changes.look_again()
        if command.kept_since_ms != self._record.kept_since_ms:
            self._record.kept_since_ms = command.kept_since_ms
            self._news()
        if command.order is Order.SPEAK:
            self._posted.take(command.posted)

    def _make_room_for(self, posted: Segment) -> None:
        self._sequence.pass_by(posted.sequence)
        self._backlog.put(posted)

    def _vocabulary(self) -> tuple[str, ...]:
        names_told = names_of_people(self._room, may_name=self._wishes.may_name)
        return vocabulary_of(glossary=self._wanted.glossary, names=names_told)

    async def _transcribe(self, chain: Chain) -> None:
        self._chain = chain
        changes = self._changes = RoomChanges(
            room=self._room,
            screen_share_audio=self._claim.screen_share_audio,
            wants_captions=self._wishes.wants_captions,
        )

        def make_pipeline(microphone: Microphone, track: rtc.Track) -> ParticipantPipeline:
            return self._pipeline(chain=chain, microphone=microphone, track=track)

        transcription = Transcription(changes=changes, make_pipeline=make_pipeline, on_change=self._news)
        self._transcription = transcription
        self._news()
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [
                    tasks.create_task(transcription.run(), name="transcription"),
                    tasks.create_task(self._status.run(), name="status"),
                    tasks.create_task(self._newcomers.run(), name="newcomers"),
                    tasks.create_task(self._posted.run(), name="posted segments"),
                    tasks.create_task(self._give_time(), name="time to listen"),
                    tasks.create_task(chain.close_retired(), name="engines that have gone"),
                ]
                await self._lease.is_to_finish.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FINISH_TIMEOUT_S):
                        await transcription.finish()
                        await self._hand_over.give(to=names.next_agent_identity(self._claim.agent_identity))
                for task in others:
                    task.cancel()
        finally:
            changes.close()
            await self._hand_over.close()

    async def _give_time(self) -> None:
        await asyncio.sleep(LISTENS_WITHIN_S)
        self._has_had_time = True
        self._news()

    def _pipeline(self, *, chain: Chain, microphone: Microphone, track: rtc.Track) -> ParticipantPipeline:
        participant = microphone.participant

        def speaker() -> Speaker:
            name = self._wishes.shown_name(identity=participant.identity, name=participant.name)
            return Speaker(identity=participant.identity, name=name)

        segmenter = Segmenter(
            speaker=speaker,
            track_sid=microphone.track_sid,
            engine=self._claim.engine,
            language=lambda: self._lease.language,
            sequence=self._sequence,
        )
        return ParticipantPipeline(
            frames=TrackFrames(track),
            chain=chain,
            segmenter=segmenter,
            sinks=[
                RoomStream(
                    room=self._room,
                    fence=self._lease.fence,
                    on_delivered=self._backlog.put,
                    on_sent=self._counter.sent,
                    keep=self._record.keep,
                )
            ],
            on_change=self._news,
            language=lambda: self._lease.language,
            takeover=self._lease.takeover,
            track_sid=microphone.track_sid,
            on_audio=self._counter.audio,
        )

    def _news(self) -> None:
        """Find out the state anew; tell the room and the worker."""
        if self._transcription is None or self._is_leaving:
            return
        listens = self._transcription.hears_everybody or self._has_had_time
        if self._lease.takeover.has_begun or listens:
            self._state, self._reason = _judged(self._transcription, self._chain, self._shortfall)
        self._tell()

    def _tell(self) -> None:
        self._lease.news()
        self._status.set(
            Status(
                state=self._state,
                engine=self._engine_in_use,
                language=self._lease.language,
                behind_ms=self._transcription.behind_ms if self._transcription else None,
                reason=self._reason,
                transcript=Transcript.OFF if self._record.kept_since_ms is None else Transcript.ON,
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
            engine=self._engine_in_use,
            engine_audio=self._counter.engine_audio,
            wishes_revision=self._wishes.revision,
            posted_taken=self._posted.taken,
        )

    @property
    def _engine_in_use(self) -> str:
        return (self._chain and self._chain.in_use) or self._claim.engine

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


def _judged(
    transcription: Transcription, chain: Chain | None, shortfall: Reason | None
) -> tuple[State, Reason | None]:
    if transcription.is_encrypted:
        return State.FAILED, Reason.E2EE_ROOM
    if chain is not None and chain.is_empty:
        return State.FAILED, shortfall or Reason.ENGINE_DOWN
    trouble = (chain and chain.trouble) or transcription.trouble or shortfall
    if trouble is None and transcription.has_encrypted:
        trouble = Reason.E2EE_ROOM
    return (State.DEGRADED, trouble) if trouble else (State.LIVE, None)
