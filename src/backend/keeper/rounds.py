"""One round of the keeper: compare every active session with its heartbeat and with LiveKit, and mend."""

import datetime
import enum
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone
from prometheus_client import Counter

from backend.dispatch.rooms import RoomNow, rooms_now
from backend.errors import LiveKitUnavailable
from backend.events.services import rooms_switched_off
from backend.keeper.turns import note_livekit
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.models import Session
from backend.transcripts.adopting import adopt_room
from contract.names import HEARTBEAT_STALE_AFTER_S
from contract.status import Reason, State

logger = logging.getLogger(__name__)

MENDED = Counter("roomscribe_keeper_actions", "What the keeper did to sessions", ["action"])

CLAIM_WITHIN_S = 2.0
"""A dispatch nobody has claimed by then was swallowed."""
GONE_STALE_AFTER_S = 1.5
"""Without a heartbeat for so long, and not in the room either, an agent need not be waited for any longer."""
ROOM_COMES_BACK_WITHIN_S = 300.0
"""As long as LiveKit keeps a room that everybody has left."""
EMPTY_FOR_S = 1.0
"""Somebody alone who loads the page anew is back sooner."""


class Action(enum.StrEnum):
    """What a session needs."""

    NOTHING = "nothing"
    END = "end"
    STOP = "stop"
    FINISH_STOP = "finish stop"
    PLACE = "place"
    REPLACE = "replace"
    STAND_BY = "stand by"
    PROMOTE = "promote"
    TIDY = "tidy"
    ADOPT = "adopt"
    WAIT_FOR_PEOPLE = "wait for people"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    action: Action
    reason: Reason | None = None


NOTHING = Verdict(action=Action.NOTHING)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a session may be silent, and how long it may last."""

    idle: datetime.timedelta
    most: datetime.timedelta


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What is known of them. `judged` False: the backend may have been away, so silence says nothing about any."""

    judged: bool
    draining: frozenset[str] = frozenset()
    can_take: bool = True


def judge(
    session: Session,
    *,
    room: RoomNow | None,
    limits: Limits,
    workers: Workers,
    now: datetime.datetime,
    is_switched_off: bool = False,
) -> Verdict:
    """`room` is the LiveKit room of this name now, None: there is none; `is_switched_off`: its event wants nothing."""
    is_awaited = session.room_sid == ""
    if room is None:  # one listing may lag behind in a cluster
        patience_s = ROOM_COMES_BACK_WITHIN_S if is_awaited else EMPTY_FOR_S
        return _end() if _has_been_empty(session, now, for_s=patience_s) else NOTHING
    if is_awaited and session.state != State.STOPPING:
        return Verdict(action=Action.ADOPT) if room.people else NOTHING
    if room.sid != session.room_sid:
        return _end()
    if session.state == State.STOPPING:
        return Verdict(action=Action.FINISH_STOP)
    if is_switched_off or now - session.since > limits.most:
        return Verdict(action=Action.STOP, reason=Reason.POLICY)
    if now - (session.spoken_at or session.since) > limits.idle:
        return Verdict(action=Action.STOP, reason=Reason.IDLE)
    if room.people == 0:
        return _when_empty(session, now)
    if session.worker:
        return _when_claimed(session, room, workers, now)
    if session.state == State.WAITING_FOR_WORKER or session.dispatched_at is None:
        return Verdict(action=Action.PLACE)
    is_swallowed = _age_s(session.dispatched_at, now) > CLAIM_WITHIN_S
    return _replace(Reason.NO_WORKER) if is_swallowed and workers.judged else NOTHING


def _when_claimed(session: Session, room: RoomNow, workers: Workers, now: datetime.datetime) -> Verdict:
    if workers.judged and _is_lost(session, room, now):
        return (
            Verdict(action=Action.PROMOTE) if leases.stands_by(session, now) else _replace(Reason.WORKER_LOST)
        )
    if session.worker in workers.draining and workers.can_take and _lacks_standby(session, workers, now):
        return Verdict(action=Action.STAND_BY)
    return Verdict(action=Action.TIDY) if session.has_ghosts else NOTHING


def _is_lost(session: Session, room: RoomNow, now: datetime.datetime) -> bool:
    silent_s = _age_s(session.heartbeat_at, now) if session.heartbeat_at else math.inf
    is_gone = session.state in (State.LIVE, State.DEGRADED) and session.agent_identity not in room.others
    return silent_s > (GONE_STALE_AFTER_S if is_gone else HEARTBEAT_STALE_AFTER_S)


def _lacks_standby(session: Session, workers: Workers, now: datetime.datetime) -> bool:
    if session.standby_worker:
        return workers.judged and not leases.stands_by(session, now)
    asked_at = session.standby_dispatched_at
    return asked_at is None or (workers.judged and _age_s(asked_at, now) > CLAIM_WITHIN_S)


def keep(*, workers_judged: bool, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Look after every active session once, as long as `may_go_on`: with many and a slow LiveKit it takes a while."""
    now = timezone.now()  # before the rows are read: what is heard meanwhile must not count as silence
    sessions = list(Session.objects.filter(ended_at=None))
    if not sessions:
        return
    try:
        rooms = rooms_now({session.room for session in sessions})
    except LiveKitUnavailable:
        note_livekit(is_lost=True)
        return
    if note_livekit(is_lost=False):
        _await_forgotten_rooms(sessions, rooms)
        return
    limits = Limits(
        idle=datetime.timedelta(minutes=settings.SUBTITLES_IDLE_MINUTES),
        most=datetime.timedelta(hours=settings.SUBTITLES_MAX_HOURS),
    )
    workers = Workers(
        judged=workers_judged,
        draining=frozenset(leases.draining_workers()),
        can_take=leases.why_nobody_can_take_it() is None,
    )
    switched_off = rooms_switched_off()
    for session in sessions:
        if not may_go_on():
            return
        room = rooms.get(session.room)
        leases.note_empty(session, is_empty=room is None or room.people == 0)
        verdict = judge(
            session,
            room=room,
            limits=limits,
            workers=workers,
            now=now,
            is_switched_off=session.room in switched_off,
        )
        _mend(session, room, verdict)


def _when_empty(session: Session, now: datetime.datetime) -> Verdict:
    is_known = session.state == State.WAITING_FOR_WORKER and session.reason == Reason.ROOM_EMPTY
    if is_known or not _has_been_empty(session, now):
        return NOTHING
    return Verdict(action=Action.WAIT_FOR_PEOPLE)


def _has_been_empty(session: Session, now: datetime.datetime, *, for_s: float = EMPTY_FOR_S) -> bool:
    return session.empty_since is not None and _age_s(session.empty_since, now) >= for_s


def _await_forgotten_rooms(sessions: Iterable[Session], rooms: Mapping[str, RoomNow]) -> None:
    """A LiveKit that was restarted knows none of its rooms, and makes them anew as people come back."""
    for session in sessions:
        room = rooms.get(session.room)
        if room is None or room.sid != session.room_sid:
            leases.await_room(session)


def _end() -> Verdict:
    return Verdict(action=Action.END, reason=Reason.ROOM_EMPTY)


def _replace(reason: Reason) -> Verdict:
    return Verdict(action=Action.REPLACE, reason=reason)


def _mend(session: Session, room: RoomNow | None, verdict: Verdict) -> None:
    if verdict.action is Action.NOTHING:
        return
    MENDED.labels(verdict.action).inc()
    if verdict.action not in (Action.PLACE, Action.TIDY):  # these are tried every round
        facts = {"session": str(session.pk), "generation": session.generation, "action": str(verdict.action)}
        logger.info("session mended", extra=facts)
    match verdict.action:
        case Action.END:
            leases.end_session(session, reason=verdict.reason)
        case Action.STOP:
            leases.begin_stop(session, reason=verdict.reason)
            placement.announce(session)
            placement.finish_stop(session)
        case Action.FINISH_STOP:
            placement.finish_stop(session)
        case Action.PLACE if session.generation > 1 and session.dispatched_at is None:
            placement.place_again(session)
        case Action.PLACE:
            placement.place(session)
        case Action.REPLACE if verdict.reason:
            leases.miss_worker(session.worker, silent_for_s=GONE_STALE_AFTER_S)
            placement.replace(session, reason=verdict.reason)
        case Action.STAND_BY:
            placement.place_standby(session)
        case Action.PROMOTE:
            placement.promote_standby(session)
        case Action.ADOPT if room:
            adopt_room(session, room.sid)
        case Action.TIDY:
            placement.remove_ghosts(session)
        case Action.WAIT_FOR_PEOPLE:
            placement.wait_for_people(session)


def _age_s(moment: datetime.datetime, now: datetime.datetime) -> float:
    return (now - moment).total_seconds()
