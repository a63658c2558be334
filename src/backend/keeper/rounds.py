"""One round of the keeper: compare every active session with its heartbeat and with LiveKit, and mend."""

import datetime
import logging
from dataclasses import dataclass

from django.utils import timezone

from backend.dispatch.rooms import room_sids
from backend.errors import LiveKitUnavailable
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.models import Session
from contract.names import HEARTBEAT_STALE_AFTER_S
from contract.status import Reason, State

logger = logging.getLogger(__name__)

CLAIM_WITHIN_S = 2.0
"""A dispatch nobody has claimed by then was swallowed."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong with a session, if anything."""

    ends: bool = False
    finish_stop: bool = False
    place: bool = False
    replace: Reason | None = None


def judge(session: Session, *, room_sid: str | None, workers_judged: bool, now: datetime.datetime) -> Verdict:
    """`room_sid` is that of the LiveKit room of this name now, None: there is none.

    `workers_judged` False: the backend may have been away, so silence says nothing about a worker.
    """
    if room_sid != session.room_sid:
        return Verdict(ends=True)
    if session.state == State.STOPPING:
        return Verdict(finish_stop=True)
    if session.worker:
        is_stale = session.heartbeat_at is None or _age_s(session.heartbeat_at, now) > HEARTBEAT_STALE_AFTER_S
        return Verdict(replace=Reason.WORKER_LOST if is_stale and workers_judged else None)
    if session.state == State.WAITING_FOR_WORKER or session.dispatched_at is None:
        return Verdict(place=True)
    if _age_s(session.dispatched_at, now) > CLAIM_WITHIN_S and workers_judged:
        return Verdict(replace=Reason.NO_WORKER)
    return Verdict()


def keep(*, workers_judged: bool) -> None:
    """Look after every active session once. A failure of one does not keep the others from their turn."""
    sessions = list(Session.objects.filter(ended_at=None))
    if not sessions:
        return
    try:
        sids = room_sids({session.room for session in sessions})
    except LiveKitUnavailable:
        return
    now = timezone.now()
    for session in sessions:
        verdict = judge(session, room_sid=sids.get(session.room), workers_judged=workers_judged, now=now)
        _mend(session, verdict)


def _mend(session: Session, verdict: Verdict) -> None:
    if verdict == Verdict():
        return
    if verdict.ends:
        leases.end_session(session, reason=Reason.ROOM_EMPTY)
        logger.info("session ended with its room", extra={"session": str(session.pk)})
    elif verdict.finish_stop:
        placement.finish_stop(session)
    elif verdict.replace is not None:
        logger.warning(
            "session taken from its worker",
            extra={"session": str(session.pk), "generation": session.generation, "worker": session.worker},
        )
        placement.replace(session, reason=verdict.replace)
    elif verdict.place:
        placement.place(session)


def _age_s(moment: datetime.datetime, now: datetime.datetime) -> float:
    return (now - moment).total_seconds()
