"""What retention asks to be run outside of requests."""

import datetime
import uuid

from django.utils import timezone

from backend.jobs.services import every, task
from backend.meetings.models import Action, Meeting
from backend.retention import clocks
from backend.retention.erasure import erase_meeting, is_erased


@every(datetime.timedelta(hours=1))
def expire_transcripts() -> None:
    clocks.expire(timezone.now())
    clocks.forget_who_started(timezone.now())


@every(datetime.timedelta(days=1))
def forget_old_audit() -> None:
    clocks.forget_audit(timezone.now())


@task
def erase_large(*, meeting: str, actor: str, action: str) -> None:
    """Harmless when it is run again: what is erased is not erased twice."""
    found = Meeting.objects.filter(pk=uuid.UUID(meeting)).first()
    if found is not None and not is_erased(found):
        erase_meeting(meeting=found, actor=actor, action=Action(action))
