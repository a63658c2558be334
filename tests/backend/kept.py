"""Meetings of which something is kept."""

import datetime
import uuid

from django.db.models import F
from django.utils import timezone

from backend.meetings.models import Meeting, Person
from backend.transcripts.models import Line, LineRevision


def kept_meeting(*, ended_ago: datetime.timedelta | None = None, **fields: object) -> Meeting:
    """A meeting with nothing said; None: it goes on."""
    now = timezone.now()
    ended_at = None if ended_ago is None else now - ended_ago
    meeting = Meeting.objects.create(
        ended_at=ended_at,
        kept_since=None if ended_at else now,
        **{"room": "room", "room_sid": f"RM_{uuid.uuid4().hex}", **fields},
    )
    meeting.kept_periods.create(since=now - datetime.timedelta(days=1), until=ended_at)
    return meeting


def say(meeting: Meeting, identity: str, text: str, *, corrected_from: str = "") -> Line:
    person, _ = Person.objects.get_or_create(
        meeting=meeting, identity=identity, defaults={"first_joined_at": timezone.now()}
    )
    Meeting.objects.filter(pk=meeting.pk).update(last_change=F("last_change") + 1)
    meeting.refresh_from_db(fields=["last_change"])
    line = Line.objects.create(
        meeting=meeting,
        segment_id=uuid.uuid4(),
        change=meeting.last_change,
        revision=1 if corrected_from else 0,
        sequence=meeting.last_change,
        start_ms=meeting.last_change * 1000,
        end_ms=meeting.last_change * 1000 + 500,
        person=person,
        speaker_identity=person.shown_identity,
        speaker_name=person.pseudonym or identity.title(),
        language="en",
        engine="embedded",
        is_corrected=bool(corrected_from),
        text=text,
    )
    if corrected_from:
        LineRevision.objects.create(line=line, revision=0, text=corrected_from, replaced_by="ada")
    return line
