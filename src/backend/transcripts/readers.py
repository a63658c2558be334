"""Who may read what: of the meeting they are in, and of all the meetings an account looks after."""

import enum
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from backend.dispatch.rooms import Presence
from backend.errors import RoomAbsent, TranscriptForbidden
from backend.events.roles import visible_events
from backend.leases.admin import SEE_ALL
from backend.meetings.joins import note_join
from backend.meetings.keeping import epoch_ms
from backend.meetings.models import Meeting, Person
from backend.meetings.services import meeting_of
from backend.presence import presence_lately
from backend.tokens.claims import RoomClaims
from backend.transcripts.models import Line

BACKLOG_MS = 600_000
"""How long before they first joined a participant may read: what the agent's backlog shows them anyway."""


class Readers(enum.StrEnum):
    JOINED = "joined"
    ALL = "all"
    ADMINS = "admins"


def room_lines(claims: RoomClaims) -> QuerySet[Line]:
    """What the caller may read now, in the room they are in; as `readable_lines`, and as `presence_lately`."""
    presence = presence_lately(claims)
    return readable_lines(meeting=meeting_now(presence, room=claims.room), claims=claims, presence=presence)


def meeting_now(presence: Presence, *, room: str) -> Meeting | None:
    """The meeting they are in. Raises RoomAbsent when it is over: presence may be a few seconds old."""
    meeting = meeting_of(room=room, room_sid=presence.room_sid)
    if meeting is not None and meeting.ended_at is not None:
        raise RoomAbsent
    note_join(meeting, presence.identity, joined_at_ms=presence.joined_at_ms)
    return meeting


def readable_lines(*, meeting: Meeting | None, claims: RoomClaims, presence: Presence) -> QuerySet[Line]:
    """Of this meeting, in no order. Raises TranscriptForbidden where only room admins read."""
    readers = Readers(settings.TRANSCRIPT_READERS)
    if readers is Readers.ADMINS and not claims.is_room_admin:
        raise TranscriptForbidden
    lines = Line.objects.filter(meeting=meeting) if meeting else Line.objects.none()
    if meeting is None or claims.is_room_admin or readers is Readers.ALL:
        return lines
    return lines.filter(end_ms__gte=first_joined_ms(meeting=meeting, presence=presence) - BACKLOG_MS)


def first_joined_ms(*, meeting: Meeting, presence: Presence) -> int:
    """As it was noted; else this time, which is not before it."""
    noted = Person.objects.filter(meeting=meeting, identity=presence.identity).first()
    if noted is None or noted.first_joined_at is None:
        return presence.joined_at_ms
    return min(epoch_ms(noted.first_joined_at), presence.joined_at_ms)


def visible_transcripts(user: Any) -> QuerySet[Meeting]:
    """Meetings of which there is a transcript; those of no event for whoever sees every event."""
    found = Meeting.objects.filter(Exists(Line.objects.filter(meeting=OuterRef("pk"))))
    return found if user.has_perm(SEE_ALL) else found.filter(event__in=visible_events(user))
