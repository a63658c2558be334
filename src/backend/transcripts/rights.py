"""What somebody in the room wants of captions and transcript about themselves."""

from dataclasses import dataclass

from backend.events.chains import event_of
from backend.leases import services as leases
from backend.meetings import posting
from backend.meetings.joins import note_join
from backend.meetings.models import Meeting, Person
from backend.meetings.services import locked, meeting_of, opened_meeting
from backend.meetings.wishes import change_wish, is_met, wish_of
from backend.presence import presence_lately, presence_now
from backend.throttles import services as throttles
from backend.throttles.services import REQUESTS_OF_ONE, WISHES_OF_ONE
from backend.tokens.claims import RoomClaims
from backend.transcripts.policy import may_keep, policy_of
from backend.transcripts.pseudonyms import hide_lines

SHOWN, HIDDEN = "shown", "hidden"


@dataclass(frozen=True, kw_only=True)
class Rights:
    """`pseudonym` None: the name is shown. `may_keep`: whether they may have a transcript kept."""

    captions: bool
    name: str
    pseudonym: str | None
    may_keep: bool


def read_rights(*, claims: RoomClaims) -> Rights:
    presence = presence_lately(claims)
    meeting = meeting_of(room=claims.room, room_sid=presence.room_sid)
    note_join(meeting, claims.identity, joined_at_ms=presence.joined_at_ms)
    return _rights_of(wish_of(meeting, claims.identity), claims)


def change_rights(*, claims: RoomClaims, captions: bool | None = None, name: str | None = None) -> Rights:
    """None: as it is. Of the agent, which is told with its next heartbeat, and of the record, at once."""
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    presence = presence_now(claims)
    hides_name = None if name is None else name == HIDDEN
    meeting = meeting_of(room=claims.room, room_sid=presence.room_sid)
    note_join(meeting, claims.identity, joined_at_ms=presence.joined_at_ms)
    person = wish_of(meeting, claims.identity)
    if not is_met(person, captions=captions, hides_name=hides_name):
        event = event_of(claims.room)
        opened = opened_meeting(
            room=claims.room, room_sid=presence.room_sid, event_id=event.pk if event else None
        )
        person = _changed(opened, claims, captions=captions, hides_name=hides_name)
    return _rights_of(person, claims)


def _changed(
    meeting: Meeting, claims: RoomClaims, *, captions: bool | None, hides_name: bool | None
) -> Person:
    with locked(meeting) as mine:
        person = change_wish(
            mine,
            claims.identity,
            captions=captions,
            hides_name=hides_name,
            charge=lambda: throttles.take(WISHES_OF_ONE, claims.room, claims.identity),
        )
        if hides_name:
            newest = hide_lines(mine, person)
            if newest and leases.goes_on_in(mine):
                posting.post(mine, *newest)
    return person


def _rights_of(person: Person, claims: RoomClaims) -> Rights:
    return Rights(
        captions=person.wants_captions,
        name=HIDDEN if person.hides_name else SHOWN,
        pseudonym=person.pseudonym or None,
        may_keep=may_keep(policy_of(event_of(claims.room)), claims),
    )
