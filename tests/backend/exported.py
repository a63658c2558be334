"""Transcripts to export, as rows."""

import datetime
import uuid
from collections.abc import Iterable

from backend.meetings.models import Meeting, Person
from backend.meetings.services import person_of
from backend.transcripts.models import Line

BEGAN_MS = 1_790_000_000_000


def kept_meeting(room: str, room_sid: str = "RM_test") -> Meeting:
    return Meeting.objects.create(
        room=room, room_sid=room_sid, kept_since=datetime.datetime.fromtimestamp(0, datetime.UTC)
    )


def keep(meeting: Meeting, texts: Iterable[str], *, language: str = "en", every_ms: int = 3_000) -> None:
    """Ada says one after another, from BEGAN_MS."""
    ada = person_of(meeting, "ada")
    first = meeting.last_change + 1
    Line.objects.bulk_create(
        (line(meeting, ada, number, text, language, every_ms) for number, text in enumerate(texts, first)),
        batch_size=1_000,
    )
    meeting.last_change = Line.objects.filter(meeting=meeting).count()
    meeting.save()


def line(meeting: Meeting, person: Person, number: int, text: str, language: str, every_ms: int) -> Line:
    return Line(
        meeting=meeting,
        segment_id=uuid.uuid4(),
        change=number,
        revision=0,
        sequence=number,
        start_ms=BEGAN_MS + (number - 1) * every_ms,
        end_ms=BEGAN_MS + (number - 1) * every_ms + every_ms // 2,
        person=person,
        speaker_identity=person.identity,
        speaker_name=person.identity.capitalize(),
        language=language,
        engine="embedded",
        text=text,
    )
