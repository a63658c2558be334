"""Meetings that nobody says the end of: their rooms are looked for now and then."""

import contextlib
import datetime
from collections.abc import Callable, Iterator

from django.db.models import Exists, OuterRef
from django.utils import timezone

from backend.dispatch.rooms import room_sids
from backend.errors import LiveKitUnavailable
from backend.leases.models import Session
from backend.meetings.models import Meeting
from backend.meetings.posting import forget_late_ones
from backend.transcripts import keeping

LOOK_EVERY_S = 10.0
ROOMS_AT_A_TIME = 200
ABSENT_FOR = datetime.timedelta(seconds=5)
"""One listing may lag in a cluster: a room is gone that is still not there so much later."""


def look_after_meetings(*, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """End those whose rooms are gone, and what must not be kept or published any more."""
    forget_late_ones()
    keeping.stop_where_forbidden()
    with contextlib.suppress(LiveKitUnavailable):
        _end_those_gone(may_go_on)


def _end_those_gone(may_go_on: Callable[[], bool]) -> None:
    for some in _without_subtitles():
        if not may_go_on():
            return
        there = room_sids({meeting.room for meeting in some})
        for meeting in some:
            _look(meeting, is_there=there.get(meeting.room) == meeting.room_sid)


def _without_subtitles() -> Iterator[list[Meeting]]:
    """A few at a time. One with a session ends after it: that may wait for LiveKit to find its room again."""
    running = Session.objects.filter(meeting=OuterRef("pk"), ended_at=None)
    rows = Meeting.objects.filter(~Exists(running), ended_at=None).order_by("pk")
    some = list(rows[:ROOMS_AT_A_TIME])
    while some:
        yield some
        some = list(rows.filter(pk__gt=some[-1].pk)[:ROOMS_AT_A_TIME])


def _look(meeting: Meeting, *, is_there: bool) -> None:
    now = timezone.now()
    if is_there or meeting.absent_since is None:
        since = None if is_there else now
        if since != meeting.absent_since:
            Meeting.objects.filter(pk=meeting.pk).update(absent_since=since)
    elif now - meeting.absent_since >= ABSENT_FOR:
        keeping.end(meeting)
