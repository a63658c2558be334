"""The lease of a room: opened once, claimed by one worker, kept by its heartbeats, ended for good.

Every change is one conditional UPDATE, so that two processes cannot both be the one that made it: what a row must
still be stands in the filter, and the count of changed rows says who was first.
"""

import datetime
import uuid
from collections.abc import Callable

from django.db import IntegrityError, models, transaction
from django.db.models import Case, F, Max, Q, Value, When
from django.db.models.functions import Greatest
from django.utils import timezone

from backend.errors import AtCapacity, ClaimStale
from backend.leases.counters import CLAIMS
from backend.leases.models import Session, Worker
from backend.meetings.models import Meeting
from backend.meetings.services import opened_meeting
from contract.names import HEARTBEAT_STALE_AFTER_S
from contract.status import Reason, State

SEQUENCE_GAP = 1000
"""Between the last sequence reported and the next claim's first: what was given out but never reported."""

WORKER_FORGOTTEN_AFTER_S = 3600.0

NO_STANDBY: dict[str, object] = {
    "standby_generation": 0,
    "standby_dispatched_at": None,
    "standby_worker": "",
    "standby_heartbeat_at": None,
    "standby_is_ready": False,
}


def open_session(
    *,
    room: str,
    room_sid: str,
    language: str,
    engine: str,
    started_by: str,
    event_id: int | None = None,
    charge: Callable[[], None] = lambda: None,
) -> tuple[Session, bool]:
    """The room's active session, and whether this call made it; only then `charge` is called, and may refuse."""
    wanted = Session(
        room=room,
        room_sid=room_sid,
        language=language,
        engine=engine,
        started_by=started_by,
        event_id=event_id,
    )
    for _ in range(3):
        try:
            with transaction.atomic():
                wanted.meeting = None
                wanted.save(force_insert=True)  # of many at once all but one go no further
                wanted.meeting = opened_meeting(room=room, room_sid=room_sid, event_id=event_id)
                wanted.save(update_fields=["meeting"])
                charge()
            return wanted, True
        except IntegrityError:  # another caller was first; it may even have ended again meanwhile
            if active := active_session(room):
                return active, False
    raise ClaimStale


def active_session(room: str) -> Session | None:
    return Session.objects.select_related("meeting").filter(room=room, ended_at=None).first()


def latest_session(room: str) -> Session | None:
    """The active session, else the one that ended last."""
    return active_session(room) or Session.objects.filter(room=room).order_by("-ended_at").first()


def wanted(**of: object) -> models.QuerySet[Session]:
    """Sessions that may (still) be served: active, and not being stopped."""
    return Session.objects.filter(ended_at=None, **of).exclude(state=State.STOPPING)


def is_wanted(session: Session) -> bool:
    """Whether this generation may (still) be served."""
    return _same_wanted_life(session).exists()


def note_waiting(session: Session, reason: Reason) -> bool:
    """No worker can take it now. False when that was known already."""
    rows = _same_wanted_life(session)
    return _change(
        rows.exclude(state=State.WAITING_FOR_WORKER, reason=reason),
        state=State.WAITING_FOR_WORKER,
        reason=reason,
    )


def note_requested(session: Session) -> bool:
    """A worker can take it: about to be dispatched. False when another does that already."""
    rows = _same_wanted_life(session).filter(worker="", dispatched_at=session.dispatched_at)
    now = timezone.now()
    changed = _change(rows, state=State.REQUESTED, reason=None, dispatched_at=now)
    if changed:
        session.dispatched_at = now
    return changed


def take_back(session: Session, *, reason: Reason) -> Session | None:
    """As `next_generation`, but only if nothing was heard of its worker since `session` was read."""
    unheard = _same_wanted_life(session).filter(
        worker=session.worker, heartbeat_at=session.heartbeat_at, dispatched_at=session.dispatched_at
    )
    return _next_generation(unheard, session, reason)


def next_generation(session: Session, *, reason: Reason) -> Session | None:
    """Take the lease from whoever holds it. None when somebody else did, or when the session has ended."""
    return _next_generation(_same_wanted_life(session), session, reason)


def _next_generation(rows: models.QuerySet[Session], session: Session, reason: Reason) -> Session | None:
    changed = _change(
        rows,
        generation=Greatest("generation", "standby_generation") + 1,
        **NO_STANDBY,
        heard_until=None,
        worker="",
        heartbeat_at=None,
        dispatched_at=None,
        reported_engine="",
        state=State.WAITING_FOR_WORKER,
        reason=reason,
    )
    return Session.objects.get(pk=session.pk) if changed else None


def note_empty(session: Session, *, is_empty: bool) -> None:
    """Everybody has left the room, or somebody is back."""
    if is_empty != (session.empty_since is not None):
        Session.objects.filter(pk=session.pk).update(empty_since=timezone.now() if is_empty else None)


def begin_stop(
    session: Session, *, reason: Reason | None = None, charge: Callable[[], None] = lambda: None
) -> bool:
    """Nobody may claim it from here on, and whoever holds it is told to leave.

    False when it is being stopped already; if not, `charge` is called, and may refuse.
    """
    rows = wanted(pk=session.pk)
    with transaction.atomic():
        # An agent that has joined ends when it is removed; of one that is still joining its worker must say so.
        changed = _change(
            rows,
            state=State.STOPPING,
            reason=reason,
            worker=Case(When(state=State.JOINING, then=F("worker")), default=Value("")),
            standby_worker=Case(When(standby_is_ready=False, then=F("standby_worker")), default=Value("")),
        )
        if not changed:
            return False
        charge()
    return True


def change_language(session: Session, language: str, *, charge: Callable[[], None] = lambda: None) -> bool:
    """What it is to be from here on; the agent is told with its next heartbeat.

    False when nothing changes, or the session is ending; if not, `charge` is called, and may refuse.
    """
    rows = wanted(pk=session.pk)
    with transaction.atomic():
        changed = _change(
            rows.exclude(language=language),
            language=language,
            # Those of the chain that speak it are others.
            engines_revision=F("engines_revision") + 1,
        )
        if not changed:
            return False
        charge()
    return True


def change_engines(*, event_id: int) -> None:
    """The chain of the event's rooms is another from here on: each agent is told with its next heartbeat, and asks."""
    wanted(event=event_id).update(engines_revision=F("engines_revision") + 1)


def note_leaving(*, session_id: uuid.UUID | None, generation: int, worker: str, has_left: bool) -> None:
    """What a worker says of a job whose session is being stopped."""
    rows = Session.objects.filter(pk=session_id, state=State.STOPPING, ended_at=None)
    speaks = rows.filter(generation=generation, worker=worker)
    stands_by = rows.filter(standby_generation=generation, standby_worker=worker)
    if has_left:
        speaks.update(worker="")
        stands_by.update(standby_worker="")
    else:
        speaks.update(heartbeat_at=timezone.now())
        stands_by.update(standby_heartbeat_at=timezone.now())


def may_still_join(session: Session) -> bool:
    """Whether an agent of a session that is being stopped may be on its way into the room."""
    since = _seconds_ago(HEARTBEAT_STALE_AFTER_S)
    speaks = Q(heartbeat_at__gt=since) & ~Q(worker="")
    stands_by = Q(standby_heartbeat_at__gt=since) & ~Q(standby_worker="")
    return Session.objects.filter(speaks | stands_by, pk=session.pk, ended_at=None).exists()


def await_room(session: Session) -> None:
    """LiveKit was away and has forgotten the room: whichever comes next under its name is the same meeting."""
    if next_generation(session, reason=Reason.ROOM_EMPTY):
        Session.objects.filter(pk=session.pk, ended_at=None).update(room_sid="")


def adopt_room(session: Session, room_sid: str) -> bool:
    """The room that was waited for is there. False when that was known, or the session has ended."""
    return _change(_same_life(session).filter(room_sid=""), room_sid=room_sid)


def end_session(session: Session, *, state: State = State.IDLE, reason: Reason | None = None) -> bool:
    rows = Session.objects.filter(pk=session.pk, ended_at=None)
    return _change(rows, ended_at=timezone.now(), state=state, reason=reason, reported_engine="")


def end_meeting(*, room: str, room_sid: str, reason: Reason) -> None:
    """Its LiveKit room is gone."""
    rows = Session.objects.filter(room=room, room_sid=room_sid, ended_at=None)
    rows.update(ended_at=timezone.now(), state=State.IDLE, reason=reason, reported_engine="")


def goes_on_in(meeting: Meeting) -> bool:
    """Whether subtitles run there, or wait for LiveKit to find its room again."""
    return Session.objects.filter(meeting=meeting, ended_at=None).exists()


def claim(*, session_id: uuid.UUID, generation: int, worker: str) -> tuple[Session, int]:
    """The lease is `worker`'s; also the first sequence it may give out. Asking twice is answered twice."""
    rows = wanted(pk=session_id)
    speaks = rows.filter(Q(worker="") | Q(worker=worker), generation=generation)
    stands_by = rows.filter(Q(standby_worker="") | Q(standby_worker=worker), standby_generation=generation)
    if generation < 1 or not (speaks.exists() or stands_by.exists()):
        CLAIMS.labels("stale").inc()
        raise ClaimStale
    if has_no_room(Worker.objects.filter(pk=worker).first()):
        CLAIMS.labels("at_capacity").inc()
        raise AtCapacity
    now = timezone.now()
    if not (
        _change(speaks, worker=worker, heartbeat_at=now, state=State.JOINING, reason=None)
        or _change(stands_by, standby_worker=worker, standby_heartbeat_at=now)
    ):
        CLAIMS.labels("stale").inc()
        raise ClaimStale
    CLAIMS.labels("granted").inc()
    session = Session.objects.select_related("meeting").get(pk=session_id)
    first = _first_sequence(session, generation)
    # Kept at once: its first captions may be out before any heartbeat tells of them, and the next claim goes beyond.
    Session.objects.filter(pk=session_id).update(last_sequence=Greatest("last_sequence", first))
    return session, first


def held(*, session_id: uuid.UUID | None, generation: int, worker: str) -> Session | None:
    """The session, if this worker has claimed this generation of it and it still counts."""
    session = wanted(pk=session_id).select_related("meeting").first()
    if session is None:
        return None
    holders = {session.generation: session.worker, session.standby_generation: session.standby_worker}
    return session if holders.get(generation) == worker else None


def open_standby(session: Session) -> Session | None:
    """The next generation may be claimed while this one still speaks. None when somebody was first."""
    rows = _same_wanted_life(session).filter(
        worker=session.worker,
        standby_generation=session.standby_generation,
        standby_worker=session.standby_worker,
        standby_heartbeat_at=session.standby_heartbeat_at,
    )
    changed = _change(
        rows,
        **NO_STANDBY
        | {
            "standby_generation": max(session.generation, session.standby_generation) + 1,
            "standby_dispatched_at": timezone.now(),
        },
        heard_until=None,
        has_ghosts=session.has_ghosts or session.standby_generation > 0,
    )
    return Session.objects.get(pk=session.pk) if changed else None


def promote_standby(session: Session) -> bool:
    """The agent that stood by is the one that speaks. False when there is none that a worker has claimed."""
    rows = _same_wanted_life(session).filter(
        standby_generation=session.standby_generation, standby_generation__gt=0
    )
    return _change(
        rows.exclude(standby_worker=""),
        generation=F("standby_generation"),
        worker=F("standby_worker"),
        heartbeat_at=F("standby_heartbeat_at"),
        dispatched_at=F("standby_dispatched_at"),
        state=Case(When(standby_is_ready=True, then=Value(State.LIVE)), default=Value(State.JOINING)),
        reason=None,
        reported_engine="",
        has_ghosts=True,
        **NO_STANDBY,
    )


def stands_by(session: Session, now: datetime.datetime) -> bool:
    """Whether another agent is there to go on."""
    at = session.standby_heartbeat_at
    return (
        session.standby_worker != ""
        and at is not None
        and (now - at).total_seconds() <= HEARTBEAT_STALE_AFTER_S
    )


def note_tidy(session: Session) -> None:
    """Nothing of an earlier generation is left in LiveKit."""
    _same_life(session).filter(standby_generation=session.standby_generation).update(has_ghosts=False)


def live_workers() -> list[Worker]:
    return list(
        Worker.objects.filter(heartbeat_at__gt=_seconds_ago(HEARTBEAT_STALE_AFTER_S), is_draining=False)
    )


def installed_engines() -> frozenset[str] | None:
    """What the workers that are there say they can use; None: there are none."""
    workers = Worker.objects.filter(heartbeat_at__gt=_seconds_ago(HEARTBEAT_STALE_AFTER_S))
    found = list(workers.values_list("engines", flat=True))
    return frozenset().union(*found) if found else None


def draining_workers() -> set[str]:
    return set(Worker.objects.filter(is_draining=True).values_list("pk", flat=True))


def miss_worker(name: str, *, silent_for_s: float) -> None:
    """Do not count on a worker that has been silent for so long, though it may come back."""
    Worker.objects.filter(pk=name, heartbeat_at__lt=_seconds_ago(silent_for_s)).delete()


def forget_old_workers() -> None:
    Worker.objects.filter(heartbeat_at__lt=_seconds_ago(WORKER_FORGOTTEN_AFTER_S)).delete()


def why_nobody_can_take_it() -> Reason | None:
    """None: somebody can."""
    workers = live_workers()
    if not workers:
        return Reason.NO_WORKER
    return Reason.AT_CAPACITY if all(has_no_room(worker) for worker in workers) else None


def has_no_room(worker: Worker | None) -> bool:
    return worker is not None and worker.speaking >= worker.capacity


def _first_sequence(session: Session, generation: int) -> int:
    """Sequences increase over the whole meeting, whoever gave them out."""
    meeting = Session.objects.filter(room=session.room, room_sid=session.room_sid)
    highest = meeting.aggregate(highest=Max("last_sequence"))["highest"]
    is_first = generation == 1 and meeting.count() == 1
    return 1 if is_first else int(highest) + SEQUENCE_GAP


def _same_life(session: Session) -> models.QuerySet[Session]:
    return Session.objects.filter(pk=session.pk, generation=session.generation, ended_at=None)


def _same_wanted_life(session: Session) -> models.QuerySet[Session]:
    return wanted(pk=session.pk, generation=session.generation)


def _change(rows: models.QuerySet[Session], **values: object) -> bool:
    return rows.update(**values) == 1


def _seconds_ago(seconds: float) -> datetime.datetime:
    return timezone.now() - datetime.timedelta(seconds=seconds)
