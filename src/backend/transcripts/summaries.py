"""What a list says of each transcript."""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Count

from backend.meetings.models import Meeting
from backend.transcripts.models import Line


@dataclass(kw_only=True)
class Contents:
    """Of one meeting's lines: how many, in which languages, of how many people."""

    lines: int = 0
    languages: set[str] = field(default_factory=set)
    people: set[int] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Summary:
    id: uuid.UUID
    room: str
    event: str | None
    began_at: datetime.datetime
    ended_at: datetime.datetime | None
    lines: int
    languages: list[str]
    people: int
    kept_until: datetime.datetime | None


def summaries_of(meetings: Sequence[Meeting]) -> list[Summary]:
    """In the order given; one query, of an index alone, however many they are."""
    contents: defaultdict[uuid.UUID, Contents] = defaultdict(Contents)
    rows = Line.objects.filter(meeting__in=[meeting.pk for meeting in meetings]).order_by()
    for meeting, language, person, lines in rows.values_list("meeting", "language", "person").annotate(
        lines=Count("*")
    ):
        of_one = contents[meeting]
        of_one.lines += lines
        of_one.languages.add(language)
        of_one.people.add(person)
    return [_summary(meeting, contents[meeting.pk]) for meeting in meetings]


def kept_until(meeting: Meeting) -> datetime.datetime | None:
    """When its transcript is due to be erased, by the event's clock or the deployment's; None: it goes on."""
    days = meeting.event.transcript_retention_days if meeting.event else None
    kept_for = datetime.timedelta(days=days or settings.TRANSCRIPT_RETENTION_DAYS)
    return meeting.ended_at + kept_for if meeting.ended_at else None


def _summary(meeting: Meeting, contents: Contents) -> Summary:
    return Summary(
        id=meeting.pk,
        room=meeting.room,
        event=meeting.event.slug if meeting.event else None,
        began_at=meeting.began_at,
        ended_at=meeting.ended_at,
        lines=contents.lines,
        languages=sorted(contents.languages),
        people=len(contents.people),
        kept_until=kept_until(meeting),
    )
