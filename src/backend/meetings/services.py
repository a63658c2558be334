"""A room's meeting: found or made, locked where numbers are given out, and what is done with it noted."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import models, transaction

from backend.meetings.models import Action, AuditEntry, Meeting, Person


def meeting_of(*, room: str, room_sid: str) -> Meeting | None:
    """The one that this life of the room is, if anybody has wanted anything of it yet."""
    return Meeting.objects.filter(room=room, room_sid=room_sid).first()


def opened_meeting(*, room: str, room_sid: str, event_id: int | None = None) -> Meeting:
    """As `meeting_of`, made if there is none. Whoever calls has seen the room: the meeting has not ended."""
    meeting, is_new = Meeting.objects.get_or_create(
        room=room, room_sid=room_sid, defaults={"event_id": event_id}
    )
    if not is_new and event_id is not None and meeting.event_id != event_id:
        Meeting.objects.filter(pk=meeting.pk).update(event=event_id)
        meeting.event_id = event_id
    if meeting.ended_at is not None:
        Meeting.objects.filter(pk=meeting.pk).update(ended_at=None)
        meeting.ended_at = None
    return meeting


@contextlib.contextmanager
def locked(meeting: Meeting) -> Iterator[Meeting]:
    """The row as it is now, in a transaction that no other one that locks it runs beside.

    Rows that refer to it may be made beside that. Raises Meeting.DoesNotExist when it is gone.
    """
    with transaction.atomic():
        yield Meeting.objects.select_for_update(no_key=True).get(pk=meeting.pk)


def person_of(meeting: Meeting, identity: str) -> Person:
    person, _ = Person.objects.get_or_create(meeting=meeting, identity=identity)
    return person


def take_changes(meeting: Meeting, count: int = 1) -> int:
    """The first of so many numbers, of the next stored revisions; `meeting` must be locked."""
    first = meeting.last_change + 1
    meeting.last_change += count
    Meeting.objects.filter(pk=meeting.pk).update(last_change=models.F("last_change") + count)
    return first


def participant_actor(identity: str) -> str:
    """In the audit log, where nobody can be taken for an account by calling themselves like one."""
    return f"participant:{identity}"


def account_actor(user: Any) -> str:
    return f"user:{user.get_username()}"


def note(action: Action, *, actor: str, meeting: Meeting | None = None, **facts: object) -> AuditEntry:
    """In the audit log: never a word that was said."""
    return AuditEntry.objects.create(
        action=action,
        actor=actor,
        meeting=meeting.pk if meeting else None,
        room=meeting.room if meeting else "",
        event_id=meeting.event_id if meeting else None,
        facts=facts,
    )
