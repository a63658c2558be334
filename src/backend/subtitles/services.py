"""Start, stop and say the state of a room's subtitles, for somebody who is in it."""

import time

from django.conf import settings

from backend.dispatch.rooms import Presence
from backend.errors import EventDisabled, StillStopping, SubtitlesOff
from backend.events.chains import engines_of
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.joins import note_join
from backend.meetings.services import meeting_of
from backend.presence import presence_lately, presence_now
from backend.subtitles.languages import available_language
from backend.subtitles.policy import require_right
from backend.subtitles.state import SubtitlesState, state_of
from backend.throttles import services as throttles
from backend.throttles.services import REQUESTS_OF_ONE, take_a_change
from backend.tokens.claims import RoomClaims
from contract.status import Reason, State

ANSWER_WITHIN_S = 0.95
LEAST_FOR_LIVEKIT_S = 0.05


class Deadline:
    """When a request has to be answered; what LiveKit has not done by then is the keeper's."""

    def __init__(self) -> None:
        self._at_s = time.monotonic() + ANSWER_WITHIN_S

    def left_s(self) -> float:
        return max(LEAST_FOR_LIVEKIT_S, self._at_s - time.monotonic())


def start_subtitles(*, claims: RoomClaims, language: str | None) -> tuple[SubtitlesState, bool]:
    """The state, and whether this call started them; asking twice returns the first."""
    if not settings.SUBTITLES_ENABLED:
        raise SubtitlesOff
    deadline = Deadline()
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    engines = engines_of(claims.room)
    if engines.is_switched_off:
        raise EventDisabled
    wanted = available_language(language, engines)
    presence = presence_now(claims)
    active = leases.active_session(claims.room)
    if active is not None and _goes_on(active, presence):
        return _state_with(active, claims, presence), False
    require_right(claims, presence)
    _make_way(active, presence, deadline)
    session, is_new = leases.open_session(
        room=claims.room,
        room_sid=presence.room_sid,
        language=wanted,
        engine=engines.for_language(wanted)[0],
        started_by=claims.identity,
        event_id=engines.event.pk if engines.event else None,
        charge=lambda: _take_a_change(claims),
    )
    if is_new:
        placement.place(session, within_s=deadline.left_s())
        session.refresh_from_db()
    return _state_with(session, claims, presence), is_new


def stop_subtitles(*, claims: RoomClaims) -> SubtitlesState:
    deadline = Deadline()
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    presence = presence_now(claims)
    require_right(claims, presence)
    session = leases.active_session(claims.room)
    if session is not None:
        leases.begin_stop(session, charge=lambda: _take_a_change(claims))
        placement.announce(session)
        placement.finish_stop(session, within_s=deadline.left_s())  # not yet gone: the keeper goes on
    return state_now(claims, presence)


def change_language(*, claims: RoomClaims, language: str) -> SubtitlesState:
    """The state; where no subtitles run there is nothing to change, as there is nothing to stop."""
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    wanted = available_language(language, engines_of(claims.room))
    presence = presence_now(claims)
    require_right(claims, presence)
    session = leases.active_session(claims.room)
    if (
        session is not None
        and session.room_sid == presence.room_sid
        and leases.change_language(session, wanted, charge=lambda: _take_a_change(claims))
    ):
        placement.announce(session)
    return state_now(claims, presence)


def read_state(*, claims: RoomClaims) -> SubtitlesState:
    return state_now(claims, presence_lately(claims))


def state_now(claims: RoomClaims, presence: Presence) -> SubtitlesState:
    """For somebody who was just seen in the room."""
    meeting = meeting_of(room=claims.room, room_sid=presence.room_sid)
    note_join(meeting, claims.identity, joined_at_ms=presence.joined_at_ms)
    session = leases.latest_session(claims.room)
    is_of_this_meeting = session is not None and session.room_sid == presence.room_sid
    return state_of(claims.room, session if is_of_this_meeting else None, meeting)


def _state_with(session: Session, claims: RoomClaims, presence: Presence) -> SubtitlesState:
    note_join(session.meeting, claims.identity, joined_at_ms=presence.joined_at_ms)
    return state_of(claims.room, session, session.meeting)


def _goes_on(session: Session, presence: Presence) -> bool:
    return session.room_sid == presence.room_sid and session.state != State.STOPPING


def _take_a_change(claims: RoomClaims) -> None:
    take_a_change(room=claims.room, identity=claims.identity)


def _make_way(session: Session | None, presence: Presence, deadline: Deadline) -> None:
    """A session of an earlier meeting, or one that is being stopped, ends before the next begins."""
    if session is None:
        return
    if session.room_sid != presence.room_sid:
        leases.end_session(session, reason=Reason.ROOM_EMPTY)
    elif session.state == State.STOPPING and not placement.finish_stop(
        session, within_s=deadline.left_s() / 2
    ):
        raise StillStopping
