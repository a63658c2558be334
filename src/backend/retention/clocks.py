"""What is forgotten when its time is over: each event's days, or the deployment's."""

import datetime

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from backend.events.models import Event
from backend.leases.models import Session
from backend.meetings.models import Action, AuditEntry, Meeting
from backend.retention.erasure import erase_meeting, with_record
from backend.transcripts.models import Line

ACTOR = "retention"
NOTHING_KEPT_FOR = datetime.timedelta(days=1)
"""After the end of a meeting of which nothing is kept, what its people had wished is forgotten."""


def expired(now: datetime.datetime) -> QuerySet[Meeting]:
    """Counted from the meeting's end or, where none was noticed, from the last line that was stored."""
    said = Line.objects.filter(meeting=OuterRef("pk"))
    over, quiet = Q(), Q()
    for of_event, since in _clocks(now):
        over |= of_event & Q(ended_at__lt=since)
        is_quiet = Q(Exists(said)) & ~Q(Exists(said.filter(stored_at__gte=since)))
        quiet |= of_event & Q(ended_at=None, began_at__lt=since) & is_quiet
    goes_on = Exists(Session.objects.filter(meeting=OuterRef("pk"), ended_at=None))
    without_a_line = Q(ended_at__lt=now - NOTHING_KEPT_FOR) & ~Q(Exists(said))
    return with_record(Meeting.objects.filter(over | (quiet & ~Q(goes_on)) | without_a_line))


def expire(now: datetime.datetime) -> None:
    for meeting in list(expired(now)):
        erase_meeting(meeting=meeting, actor=ACTOR, action=Action.EXPIRE)


def forget_who_started(now: datetime.datetime) -> None:
    """Sessions stay, for what they say about engines and workers, without the person."""
    for of_event, since in _clocks(now):
        sessions = Session.objects.filter(of_event, ended_at__lt=since)
        sessions.exclude(started_by="").update(started_by="")


def forget_audit(now: datetime.datetime) -> None:
    since = now - datetime.timedelta(days=settings.AUDIT_RETENTION_DAYS)
    AuditEntry.objects.filter(at__lt=since).delete()


def _clocks(now: datetime.datetime) -> list[tuple[Q, datetime.datetime]]:
    """Which rows, by their event, and since when they are to be kept; each row is in one of them."""
    with_own = Event.objects.exclude(transcript_retention_days=None)
    days = with_own.values_list("transcript_retention_days", flat=True).distinct()
    others = (Q(event__transcript_retention_days=None), _days_before(now, settings.TRANSCRIPT_RETENTION_DAYS))
    own = [(Q(event__transcript_retention_days=each), _days_before(now, int(each or 0))) for each in days]
    return [others, *own]


def _days_before(now: datetime.datetime, days: int) -> datetime.datetime:
    return now - datetime.timedelta(days=days)
