"""Start, stop and say the state of a room's subtitles, for somebody who is in it."""

import contextlib
import hashlib
import time

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from backend.dispatch.rooms import Presence, require_presence
from backend.errors import StillStopping, SubtitlesOff
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.models import Session
from backend.subtitles.languages import available_language
from backend.subtitles.policy import require_right
from backend.subtitles.state import SubtitlesState, state_of
from backend.throttles import services as throttles
from backend.throttles.services import CHANGES_IN_ROOM, CHANGES_OF_ONE, REQUESTS_OF_ONE
from backend.tokens.claims import RoomClaims
from contract.status import Reason, State

PRESENCE_SEEN_FOR_S = 5
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
    wanted = available_language(language)
    presence = _presence_now(claims)
    active = leases.active_session(claims.room)
    if active is not None and _goes_on(active, presence):
        return state_of(claims.room, active), False
    require_right(claims, presence)
    _make_way(active, presence, deadline)
    session, is_new = leases.open_session(
        room=claims.room,
        room_sid=presence.room_sid,
        language=wanted,
        engine=settings.STT_PROVIDER,
        started_by=claims.identity,
        charge=lambda: _take_a_change(claims),
    )
    if is_new:
        placement.place(session, within_s=deadline.left_s())
        session.refresh_from_db()
    return state_of(claims.room, session), is_new


def stop_subtitles(*, claims: RoomClaims) -> SubtitlesState:
    deadline = Deadline()
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    presence = _presence_now(claims)
    require_right(claims, presence)
    session = leases.active_session(claims.room)
    if session is not None:
        leases.begin_stop(session, charge=lambda: _take_a_change(claims))
        placement.announce(session)
        placement.finish_stop(session, within_s=deadline.left_s())  # not yet gone: the keeper goes on
    return _state_now(claims, presence)


def change_language(*, claims: RoomClaims, language: str) -> SubtitlesState:
    """The state; where no subtitles run there is nothing to change, as there is nothing to stop."""
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    wanted = available_language(language)
    presence = _presence_now(claims)
    require_right(claims, presence)
    session = leases.active_session(claims.room)
    if (
        session is not None
        and session.room_sid == presence.room_sid
        and leases.change_language(session, wanted, charge=lambda: _take_a_change(claims))
    ):
        placement.announce(session)
    return _state_now(claims, presence)


def read_state(*, claims: RoomClaims) -> SubtitlesState:
    return _state_now(claims, _presence_lately(claims))


def _state_now(claims: RoomClaims, presence: Presence) -> SubtitlesState:
    session = leases.latest_session(claims.room)
    is_of_this_meeting = session is not None and session.room_sid == presence.room_sid
    return state_of(claims.room, session if is_of_this_meeting else None)


def _goes_on(session: Session, presence: Presence) -> bool:
    return session.room_sid == presence.room_sid and session.state != State.STOPPING


def _take_a_change(claims: RoomClaims) -> None:
    throttles.take(CHANGES_OF_ONE, claims.room, claims.identity)
    throttles.take(CHANGES_IN_ROOM, claims.room)


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


def _presence_now(claims: RoomClaims) -> Presence:
    presence = require_presence(room=claims.room, identity=claims.identity)
    with contextlib.suppress(RedisError):
        cache.set(_presence_key(claims), presence, PRESENCE_SEEN_FOR_S)
    return presence


def _presence_lately(claims: RoomClaims) -> Presence:
    try:
        seen = cache.get(_presence_key(claims))
    except RedisError:  # a cache that is away has seen nobody, and is not waited for twice
        return require_presence(room=claims.room, identity=claims.identity)
    return seen if isinstance(seen, Presence) else _presence_now(claims)


def _presence_key(claims: RoomClaims) -> str:
    # Hashed: names of any script and length, and nothing of them in the cache's keys.
    both = f"{claims.room}\0{claims.identity}".encode()
    return f"presence:{hashlib.sha256(both).hexdigest()}"
