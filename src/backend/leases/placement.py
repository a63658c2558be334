"""Bring LiveKit in line with a session: an agent dispatched, or every trace of one removed; and tell the room."""

import time

from backend.dispatch.dispatches import create_dispatch, remove_agents, remove_agents_soon
from backend.dispatch.rooms import send_data
from backend.errors import LiveKitUnavailable
from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.keeping import transcript_of
from contract.dispatch import DispatchMetadata
from contract.names import TOPIC_STATUS
from contract.shapes import to_json
from contract.status import Reason, State, Status

LIVEKIT_WITHIN_S = 0.8
"""How long LiveKit may take where nobody waits for an answer."""
LOOK_AGAIN_AFTER_S = 0.05


def place(session: Session, *, within_s: float = LIVEKIT_WITHIN_S) -> None:
    """Dispatch the session's generation if a worker can take it, else say why it waits.

    A dispatch that fails or is swallowed is the keeper's: it looks for a claim.
    """
    if reason := leases.why_nobody_can_take_it():
        if leases.note_waiting(session, reason):
            announce(session)
        return
    if not leases.note_requested(session):
        return
    announce(session)
    _dispatch(session, generation=session.generation, within_s=within_s)


def place_standby(session: Session) -> None:
    """An agent on another worker, ready to go on where the one that speaks now will end."""
    opened = leases.open_standby(session)
    if opened is not None:
        _dispatch(opened, generation=opened.standby_generation)


def promote_standby(session: Session) -> None:
    """Who spoke is gone; who stood by goes on."""
    if leases.promote_standby(session):
        announce(session)


def remove_ghosts(session: Session) -> None:
    """What earlier generations left behind."""
    if remove_traces(session, keep=frozenset({session.generation, session.standby_generation})):
        leases.note_tidy(session)


def replace(session: Session, *, reason: Reason) -> None:
    """Give the session to another worker: the next generation, the ghost removed, dispatched again."""
    successor = leases.take_back(session, reason=reason)
    if successor is None:
        return
    announce(successor)
    place_again(successor)


def place_again(session: Session) -> None:
    """Remove the ghost of the generation before, and dispatch this one, unless somebody else already has."""
    remove_traces(session, keep=frozenset({session.generation}))
    place(session)


def finish_stop(session: Session, *, within_s: float = LIVEKIT_WITHIN_S) -> bool:
    """End a stopping session once neither agent nor dispatch is left, and none is to come; False: not yet."""
    deadline_s = time.monotonic() + within_s
    while not remove_traces(session, within_s=deadline_s - time.monotonic()) or leases.may_still_join(
        session
    ):
        if time.monotonic() + LOOK_AGAIN_AFTER_S >= deadline_s:
            return False
        time.sleep(LOOK_AGAIN_AFTER_S)
    session.refresh_from_db(fields=["reason"])
    if leases.end_session(session, reason=Reason(session.reason) if session.reason else None):
        announce(session)
    return True


def wait_for_people(session: Session) -> None:
    """Nobody is there to read: the agent leaves, and another comes when somebody returns."""
    if successor := leases.take_back(session, reason=Reason.ROOM_EMPTY):
        remove_traces(successor, keep=frozenset({successor.generation}))


def note_failed(session: Session) -> None:
    """It has ended because its agent could not go on: say so, and see to it that nothing of it stays."""
    announce(session)
    remove_agents_soon(room=session.room, agent=session.agent.hex, session=str(session.pk))


def remove_traces(
    session: Session, *, within_s: float = LIVEKIT_WITHIN_S, keep: frozenset[int] = frozenset()
) -> bool:
    try:
        return remove_agents(
            room=session.room, agent=session.agent.hex, session=str(session.pk), timeout_s=within_s, keep=keep
        )
    except LiveKitUnavailable:
        return False


def _dispatch(session: Session, *, generation: int, within_s: float = LIVEKIT_WITHIN_S) -> None:
    try:
        create_dispatch(
            room=session.room,
            metadata=DispatchMetadata(session=str(session.pk), generation=generation),
            timeout_s=within_s,
        )
    except LiveKitUnavailable:
        return
    if not leases.is_wanted(session):  # stopped while LiveKit was asked
        remove_traces(session)


def announce(session: Session) -> None:
    """Tell the room, in the words an agent would use, as long as there may be none to do it."""
    session.refresh_from_db(
        fields=["state", "reason", "language", "engine", "reported_engine", "meeting"],
        from_queryset=Session.objects.select_related("meeting"),
    )
    status = Status(
        state=State(session.state),
        engine=session.engine_in_use,
        language=session.language,
        reason=Reason(session.reason) if session.reason else None,
        transcript=transcript_of(session.meeting),
    )
    tell(session.room, status)


def tell(room: str, status: Status) -> None:
    send_data(room=room, topic=TOPIC_STATUS, data=to_json(status))
