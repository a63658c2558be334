"""Finals that people posted, on their way to the agent, which publishes them with its next heartbeat or not at all."""

import dataclasses
import datetime

from django.db.models import F, Max
from django.db.models.functions import Greatest
from django.utils import timezone

from backend.meetings.models import Meeting, Posted
from contract.segments import Segment
from contract.transcripts import PostedSegment

MOST_AT_A_TIME = 20
KEPT_FOR = datetime.timedelta(seconds=60)
"""After that a line would come up on screens out of nowhere; whoever missed it reads it over REST."""


def post(meeting: Meeting, *segments: Segment) -> None:
    """In this order; `meeting` must be locked."""
    first = meeting.last_posted + 1
    Posted.objects.bulk_create(
        Posted(meeting=meeting, number=number, segment=dataclasses.asdict(segment))
        for number, segment in enumerate(segments, start=first)
    )
    meeting.last_posted += len(segments)
    Meeting.objects.filter(pk=meeting.pk).update(last_posted=F("last_posted") + len(segments))


def posted_after(meeting: Meeting | None, number: int) -> tuple[PostedSegment, ...]:
    """What a job that has taken all up to `number` is to publish; asks the database only if there is any."""
    if meeting is None or meeting.last_posted <= max(number, meeting.posted_done):
        return ()
    rows = Posted.objects.filter(meeting=meeting, number__gt=number, at__gt=timezone.now() - KEPT_FOR)
    return tuple(
        PostedSegment(number=row.number, segment=Segment(**row.segment))
        for row in rows.order_by("number")[:MOST_AT_A_TIME]
    )


def note_taken(meeting: Meeting | None, number: int) -> None:
    """The agent has published all up to `number`."""
    taken = min(number, meeting.last_posted) if meeting else 0
    if meeting is not None and taken > meeting.posted_done:
        _forget(meeting, up_to=taken)


def forget_late_ones() -> None:
    """Those that no agent has taken in time."""
    late = Posted.objects.filter(at__lt=timezone.now() - KEPT_FOR)
    for meeting_id, number in late.values_list("meeting").annotate(Max("number")).order_by():
        _forget(Meeting(pk=meeting_id), up_to=number)


def _forget(meeting: Meeting, *, up_to: int) -> None:
    Posted.objects.filter(meeting=meeting, number__lte=up_to).delete()
    Meeting.objects.filter(pk=meeting.pk).update(posted_done=Greatest("posted_done", up_to))
