"""While what is said in a meeting is kept: since when, until when, and that it has ended."""

import contextlib
import datetime
from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from backend.meetings.models import KeptPeriod, Meeting
from backend.meetings.services import locked
from contract.transcripts import Transcript

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MILLISECOND = datetime.timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Period:
    """UTC epoch ms; `until_ms` None: it goes on."""

    since_ms: int
    until_ms: int | None

    def has(self, *, start_ms: int, end_ms: int) -> bool:
        """Whether speech from start to end is kept for its sake.

        What was under way when it began is kept whole; one that had no final when it ended is not handed in.
        """
        return end_ms > self.since_ms and (self.until_ms is None or start_ms < self.until_ms)


def epoch_ms(moment: datetime.datetime) -> int:
    """Rounded down, wherever a moment of ours is told or compared in ms."""
    return (moment - EPOCH) // MILLISECOND


def kept_since_ms(meeting: Meeting | None) -> int | None:
    """None: nothing is kept now."""
    return epoch_ms(meeting.kept_since) if meeting is not None and meeting.kept_since is not None else None


def transcript_of(meeting: Meeting | None) -> Transcript:
    return Transcript.ON if meeting is not None and meeting.is_kept else Transcript.OFF


def periods_of(meeting: Meeting) -> tuple[Period, ...]:
    return tuple(
        Period(since_ms=epoch_ms(since), until_ms=epoch_ms(until) if until else None)
        for since, until in KeptPeriod.objects.filter(meeting=meeting).values_list("since", "until")
    )


def begin_keeping(meeting: Meeting, *, charge: Callable[[], object] = lambda: None) -> bool:
    """False when what is said was kept already; if not, `charge` is called in the same transaction, and may refuse."""
    with locked(meeting) as now_locked:
        if now_locked.is_kept:
            return False
        charge()
        since = timezone.now()
        Meeting.objects.filter(pk=meeting.pk).update(kept_since=since)
        KeptPeriod.objects.create(meeting=meeting, since=since)
    meeting.kept_since = since
    return True


def stop_keeping(meeting: Meeting, *, charge: Callable[[], object] = lambda: None) -> bool:
    """As `begin_keeping`."""
    with locked(meeting) as now_locked:
        if not now_locked.is_kept:
            return False
        charge()
        Meeting.objects.filter(pk=meeting.pk).update(kept_since=None)
        KeptPeriod.objects.filter(meeting=meeting, until=None).update(until=timezone.now())
    meeting.kept_since = None
    return True


def end(meeting: Meeting, *, noting: Callable[[], object] = lambda: None) -> None:
    """Its room is gone; `noting` is called if a transcript was kept until now."""
    with contextlib.suppress(Meeting.DoesNotExist):  # erased meanwhile
        stop_keeping(meeting, charge=noting)
    Meeting.objects.filter(pk=meeting.pk, ended_at=None).update(ended_at=timezone.now())
