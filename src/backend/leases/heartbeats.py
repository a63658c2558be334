"""What a worker says of its jobs once a second, and what they are told."""

import dataclasses
import datetime
import functools
import uuid
from collections.abc import Callable

from django.db import models
from django.db.models.functions import Greatest
from django.utils import timezone

from backend.leases import placement
from backend.leases import services as leases
from backend.leases.counters import TIME_TO_LIVE
from backend.leases.models import Session, Worker
from backend.meetings import posting
from backend.meetings.keeping import kept_since_ms
from backend.meetings.wishes import wishes_of
from contract.engines import CATALOGUE
from contract.shapes import from_value
from contract.status import Reason, State
from contract.transcripts import Wishes
from contract.workers import HeardUntil, HeartbeatAnswer, JobCommand, JobReport, Order, WorkerHeartbeat

MAX_EPOCH_MS = 2**43


def record_heartbeat(*, name: str, heartbeat: WorkerHeartbeat) -> HeartbeatAnswer:
    now = timezone.now()
    Worker.objects.update_or_create(
        pk=name,
        defaults={
            "heartbeat_at": now,
            "capacity": heartbeat.capacity,
            "speaking": sum(job.speaking for job in heartbeat.jobs if not job.lost),
            "is_draining": heartbeat.draining,
            "engines": list(heartbeat.engines),
        },
    )
    others_can = functools.cache(lambda: leases.why_nobody_can_take_it() is None)
    commands = []
    for job in heartbeat.jobs:
        session = leases.held(session_id=_uuid(job.session), generation=job.generation, worker=name)
        if session is None:
            leases.note_leaving(
                session_id=_uuid(job.session), generation=job.generation, worker=name, has_left=job.lost
            )
            commands.append(_command(job, Order.LEAVE))
        elif job.generation == session.standby_generation:
            commands.append(_record_standby(session, job, now))
        else:
            commands.append(_record_speaker(session, job, now, heartbeat.draining, others_can))
    return HeartbeatAnswer(jobs=tuple(commands))


def _record_speaker(
    session: Session,
    job: JobReport,
    now: datetime.datetime,
    is_draining: bool,
    others_can: Callable[[], bool],
) -> JobCommand:
    rows = _held(session)
    said: dict[str, object] = {"last_sequence": Greatest("last_sequence", job.last_sequence)}
    if job.heard_until is not None:
        said["heard_until"] = [dataclasses.asdict(heard) for heard in job.heard_until]
    if job.engine in CATALOGUE:
        said["reported_engine"] = job.engine
    if job.lost or job.state is State.FAILED:
        rows.update(**said)
        _end(session, job, now)
        return _command(job, Order.LEAVE)
    if session.state == State.JOINING and job.state is State.LIVE and session.dispatched_at:
        TIME_TO_LIVE.observe((now - session.dispatched_at).total_seconds())
    rows.update(
        heartbeat_at=now,
        state=job.state,
        reason=job.reason,
        spoken_at=_moment(job.spoken_at_ms) or session.spoken_at,
        **said,
    )
    posting.note_taken(session.meeting, job.posted_taken)
    hands_over = is_draining and (session.standby_is_ready or not (session.standby_worker or others_can()))
    return _command(job, Order.FINISH if hands_over else Order.SPEAK, session)


def _record_standby(session: Session, job: JobReport, now: datetime.datetime) -> JobCommand:
    rows = Session.objects.filter(
        pk=session.pk, standby_generation=job.generation, standby_worker=session.standby_worker, ended_at=None
    )
    if job.lost or job.state is State.FAILED:
        rows.update(
            standby_worker="", standby_heartbeat_at=None, standby_is_ready=False, standby_dispatched_at=None
        )
        return _command(job, Order.LEAVE)
    rows.update(standby_heartbeat_at=now, standby_is_ready=job.state is not State.JOINING)
    return _command(job, Order.WAIT, session)


def _end(session: Session, job: JobReport, now: datetime.datetime) -> None:
    if not job.lost:
        if leases.end_session(session, state=State.FAILED, reason=job.reason):
            placement.note_failed(session)
    elif not (leases.stands_by(session, now) and leases.promote_standby(session)) and (
        successor := leases.next_generation(session, reason=Reason.WORKER_LOST)
    ):
        placement.announce(successor)


def _held(session: Session) -> models.QuerySet[Session]:
    """The row, as long as the same worker holds it."""
    return leases.wanted(pk=session.pk, generation=session.generation, worker=session.worker)


def _command(job: JobReport, order: Order, session: Session | None = None) -> JobCommand:
    return JobCommand(
        session=job.session,
        generation=job.generation,
        order=order,
        language=session.language if session else "",
        heard_until=_heard_until(session) if session and order in (Order.WAIT, Order.SPEAK) else None,
        engines_revision=session.engines_revision if session else 0,
        kept_since_ms=kept_since_ms(session.meeting) if session else None,
        wishes=_wishes(session, job) if session else None,
        posted=posting.posted_after(session.meeting, job.posted_taken)
        if session and order is Order.SPEAK
        else (),
    )


def _wishes(session: Session, job: JobReport) -> Wishes | None:
    """None: the job goes by those that hold."""
    meeting = session.meeting
    return None if meeting is None or meeting.wishes_revision == job.wishes_revision else wishes_of(meeting)


def _heard_until(session: Session) -> tuple[HeardUntil, ...] | None:
    known: tuple[HeardUntil, ...] | None = from_value(tuple[HeardUntil, ...] | None, session.heard_until)
    return known


def _moment(epoch_ms: int | None) -> datetime.datetime | None:
    """None, too, for what is no time at all."""
    if epoch_ms is None or not 0 < epoch_ms < MAX_EPOCH_MS:
        return None
    return datetime.datetime.fromtimestamp(epoch_ms / 1000, tz=datetime.UTC)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
