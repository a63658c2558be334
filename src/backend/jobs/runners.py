"""Running jobs: taken by one runner, tried again after a failure, given up after MAX_TRIES.

Taking a job counts the try, under a lock of the row. That count is the runner's ticket: whatever it writes later of the
job counts only while the row still has it. A runner extends its hold while the task runs; one
that died lets it lapse, and the job is due again.
"""

import contextlib
import datetime
import logging
import threading
import time
import uuid
from collections.abc import Iterator

from django.db import Error as DatabaseProblem
from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from backend.jobs.models import Job, JobState, Outcome, Periodic, Tally
from backend.jobs.services import PERIODIC, TASKS, enqueue_once, every

logger = logging.getLogger(__name__)

HELD_FOR = datetime.timedelta(seconds=30)
EXTEND_EVERY_S = 10.0
MOST_S = 330.0
"""Nobody extends a hold for longer: a task that hangs falls to another runner."""
EXTENDER_ENDS_WITHIN_S = 5.0
MAX_TRIES = 10
FIRST_WAIT_S, MOST_WAIT_S = 5, 600
MOST_AT_A_LOOK = 100

SWEEP = "sweep"
SWEEP_EVERY_S = 10.0
SWEPT_WITHIN = datetime.timedelta(seconds=60)
"""When nobody has swept for longer, nobody runs jobs."""

DONE_KEPT_FOR = datetime.timedelta(days=1)
FAILED_KEPT_FOR = datetime.timedelta(days=30)


def run_job(job_id: uuid.UUID) -> Outcome | None:
    """None: it is not due, or another has it. Raises DatabaseProblem; then the job is due again after HELD_FOR."""
    job = take(job_id)
    return run(job) if job is not None else None


def take(job_id: uuid.UUID) -> Job | None:
    now = timezone.now()
    with transaction.atomic():
        job = due(now).select_for_update().filter(pk=job_id).first()
        if job is None:
            return None
        if job.state == JobState.RUNNING:
            _tally(job.task, Outcome.LOST)
            if job.tries >= MAX_TRIES:
                _end(job, Outcome.FAILED)
                return None
        job.state, job.until, job.tries = JobState.RUNNING, now + HELD_FOR, job.tries + 1
        job.save(update_fields=["state", "until", "tries"])
        return job


def run(job: Job, *, extend_every_s: float = EXTEND_EVERY_S) -> Outcome:
    """A job that was taken."""
    error = None
    with _extended(job, every_s=extend_every_s):
        try:
            TASKS[job.task](**job.arguments)
        except Exception as exc:  # noqa: BLE001 (a runner's edge: whatever a task raises, the row says so)
            error = type(exc).__name__
    if error is None:
        return _end(job, Outcome.DONE)
    outcome = Outcome.AGAIN if job.tries < MAX_TRIES else Outcome.FAILED
    facts = {
        "job": str(job.pk),
        "task": job.task,
        "tries": job.tries,
        "error": error,
        "outcome": str(outcome),
    }
    logger.warning("job failed", extra=facts)
    return _end(job, outcome)


def give_back(job: Job) -> None:
    """Its runner is told to end before it: whoever looks next takes it."""
    _held(job).update(state=JobState.DUE, due_at=timezone.now(), until=None)


def due(now: datetime.datetime) -> QuerySet[Job]:
    is_waiting = Q(state=JobState.DUE, due_at__lte=now)
    is_orphaned = Q(state=JobState.RUNNING, until__lte=now)
    return Job.objects.filter(is_waiting | is_orphaned)


def due_jobs() -> list[uuid.UUID]:
    """The longest due first, MOST_AT_A_LOOK at most."""
    return list(due(timezone.now()).order_by("due_at").values_list("pk", flat=True)[:MOST_AT_A_LOOK])


def sweep() -> None:
    """Makes jobs of the periodic tasks that are due, and notes that somebody looks after jobs."""
    now = timezone.now()
    known = dict(Periodic.objects.values_list("name", "due_at"))
    for name, interval in PERIODIC.items():
        if name not in known or known[name] <= now:
            _make_periodic_job(name, now=now, interval=interval)
    Periodic.objects.update_or_create(name=SWEEP, defaults={"due_at": now})


def swept_at() -> datetime.datetime | None:
    return Periodic.objects.filter(name=SWEEP).values_list("due_at", flat=True).first()


def try_failed_again() -> int:
    """How many there were."""
    failed = Job.objects.filter(state=JobState.FAILED)
    return failed.update(state=JobState.DUE, tries=0, due_at=timezone.now(), ended_at=None)


@every(datetime.timedelta(hours=1))
def forget_old_jobs() -> None:
    now = timezone.now()
    Job.objects.filter(state=JobState.DONE, ended_at__lt=now - DONE_KEPT_FOR).delete()
    Job.objects.filter(state=JobState.FAILED, ended_at__lt=now - FAILED_KEPT_FOR).delete()


def wait_after(tries: int) -> datetime.timedelta:
    """Doubles with each try, up to MOST_WAIT_S."""
    return datetime.timedelta(seconds=min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** (tries - 1)))


def _make_periodic_job(name: str, *, now: datetime.datetime, interval: datetime.timedelta) -> None:
    Periodic.objects.get_or_create(name=name, defaults={"due_at": now})
    with transaction.atomic():
        if Periodic.objects.filter(name=name, due_at__lte=now).update(due_at=now + interval):
            enqueue_once(TASKS[name])


def _held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, state=JobState.RUNNING, tries=job.tries)


def _end(job: Job, outcome: Outcome) -> Outcome:
    """The try has ended so, unless the job is another runner's by now."""
    now = timezone.now()
    values: dict[str, object] = {"until": None, "ended_at": now, "state": outcome.value}
    if outcome is Outcome.AGAIN:
        values = {"until": None, "due_at": now + wait_after(job.tries), "state": JobState.DUE}
    with transaction.atomic():
        if _held(job).update(**values):
            _tally(job.task, outcome)
    return outcome


def _tally(name: str, outcome: Outcome) -> None:
    of_it = Tally.objects.filter(task=name, outcome=outcome)
    if of_it.update(count=F("count") + 1):
        return
    try:
        with transaction.atomic():
            Tally.objects.create(task=name, outcome=outcome, count=1)
    except IntegrityError:  # another was first
        of_it.update(count=F("count") + 1)


@contextlib.contextmanager
def _extended(job: Job, *, every_s: float) -> Iterator[None]:
    """The hold lasts while this does, up to MOST_S."""
    ended = threading.Event()
    thread = threading.Thread(target=_extend, args=(job, ended, every_s), name="job's hold", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EXTENDER_ENDS_WITHIN_S)


def _extend(job: Job, ended: threading.Event, every_s: float) -> None:
    most_s = time.monotonic() + MOST_S
    while not ended.wait(every_s) and time.monotonic() < most_s:
        try:
            _held(job).update(until=timezone.now() + HELD_FOR)
        except DatabaseProblem as exc:  # away for now
            logger.warning("job not extended", extra={"job": str(job.pk), "error": type(exc).__name__})
        finally:
            connections.close_all()  # this thread's own
