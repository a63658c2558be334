"""Registering tasks and asking for them to be run."""

import datetime
import uuid
from collections.abc import Callable

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backend.jobs.models import Job, JobState

Task = Callable[..., None]

TASKS: dict[str, Task] = {}
"""By name; each may be run twice, so each must be harmless when it is."""

PERIODIC: dict[str, datetime.timedelta] = {}
"""Those of TASKS that are run every so often, by name; they take no arguments."""


def task(function: Task) -> Task:
    """Registers it under its name; keyword arguments alone, of JSON."""
    TASKS[function.__name__] = function
    return function


def every(interval: datetime.timedelta) -> Callable[[Task], Task]:
    """As `task`, of one that nobody has to ask for."""

    def register(function: Task) -> Task:
        PERIODIC[function.__name__] = interval
        return task(function)

    return register


def enqueue(function: Task, *, delay: datetime.timedelta = datetime.timedelta(), **arguments: object) -> Job:
    """Call it in the transaction of what it is about: it is run after that is committed, or not at all."""
    name = function.__name__
    if name not in TASKS:
        raise ValueError(f"{name} is not registered")
    job = Job.objects.create(task=name, arguments=arguments, due_at=timezone.now() + delay)
    if settings.CELERY_BROKER_URL and not delay:
        transaction.on_commit(lambda: _tell(job.pk))
    return job


def enqueue_once(
    function: Task, *, delay: datetime.timedelta = datetime.timedelta(), **arguments: object
) -> None:
    """As `enqueue`, unless the same is due already. One that runs now may have looked before this was asked."""
    same = Job.objects.filter(task=function.__name__, arguments=arguments, state=JobState.DUE)
    if not same.exists():
        enqueue(function, delay=delay, **arguments)


def _tell(job_id: uuid.UUID) -> None:
    from backend.jobs.broker import OUTBOX

    OUTBOX.put(str(job_id))
