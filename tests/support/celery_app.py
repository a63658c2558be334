"""The real Celery application with the tests' tasks: `celery -A tests.support.celery_app worker`."""

import os
from pathlib import Path

from backend.config.celery import app
from backend.meetings.models import Meeting
from backend.retention.erasure import on_erase
from tests.support import tasks

__all__ = ["app"]


def stand_still(_meeting: Meeting) -> int:
    """In the middle of an erasure, while the file `hold` is there."""
    hold = Path(os.environ["HOLD"])
    if hold.exists():
        tasks.say(hold, "erasing")
        tasks.until_told(hold)
    return 0


on_erase(stand_still)
