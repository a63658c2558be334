"""Handing the engines of a session, with their keys, to the worker that transcribes it."""

import datetime
import uuid

from django.utils import timezone

from backend.errors import ClaimStale
from backend.events.chains import RoomEngines, engines_of, setups_of
from backend.events.models import EnginesHandout
from backend.leases import services as leases
from backend.leases.models import Session
from contract.engines import EnginesRequest, SessionEngines

KEPT_FOR = datetime.timedelta(days=90)


def hand_out(*, session_id: uuid.UUID, worker: str, request: EnginesRequest) -> SessionEngines:
    """Raises ClaimStale unless this worker has claimed this generation."""
    session = leases.held(session_id=session_id, generation=request.generation, worker=worker)
    if session is None:
        raise ClaimStale
    # The revision was read first: a change from here on makes another, and the job asks again.
    found = engines_of_session(session)
    chain = setups_of(found, language=session.language)
    EnginesHandout.objects.create(
        session=session,
        generation=request.generation,
        worker=worker,
        cause=request.cause,
        engines=[setup.engine for setup in chain],
    )
    return SessionEngines(
        session=str(session.pk),
        generation=request.generation,
        revision=session.engines_revision,
        chain=chain,
        glossary=found.event.terms if found.event else (),
        is_budget_spent=found.is_budget_spent,
    )


def engines_of_session(session: Session) -> RoomEngines:
    """Those of its room now; the session is counted to that event, and shows the first of them."""
    found = engines_of(session.room)
    engine = found.for_language(session.language)[0]
    event_id = found.event.pk if found.event else None
    if (session.engine, session.event_id) != (engine, event_id):
        Session.objects.filter(pk=session.pk, ended_at=None).update(engine=engine, event=event_id)
        session.engine, session.event_id = engine, event_id
    return found


def forget_old_handouts() -> None:
    EnginesHandout.objects.filter(at__lt=timezone.now() - KEPT_FOR).delete()
