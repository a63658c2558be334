"""What is due outside of requests, and how it went, from the database."""

import math
from collections.abc import Iterator

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from backend.jobs import runners
from backend.jobs.models import Job, JobState, Tally

COUNTED = (JobState.DUE, JobState.RUNNING, JobState.FAILED)


def jobs() -> Iterator[Metric]:
    yield _by_state()
    yield _tries()
    yield from _ages()


def _by_state() -> Metric:
    rows = Job.objects.filter(state__in=COUNTED).values_list("task", "state")
    family = GaugeMetricFamily(
        "roomscribe_jobs", "Jobs that wait, run or have been given up", labels=["task", "state"]
    )
    for task, state, count in rows.annotate(Count("pk")).order_by("task", "state"):
        family.add_metric([task, state], count)
    return family


def _tries() -> Metric:
    family = CounterMetricFamily(
        "roomscribe_job_tries", "How tries of jobs ended", labels=["task", "outcome"]
    )
    for tally in Tally.objects.order_by("task", "outcome"):
        family.add_metric([tally.task, tally.outcome], tally.count)
    return family


def _ages() -> Iterator[Metric]:
    now = timezone.now()
    longest_due = runners.due(now).order_by("due_at").values_list("due_at", flat=True).first()
    yield GaugeMetricFamily(
        "roomscribe_oldest_due_job_seconds",
        "For how long the job that has been due longest has been",
        value=(now - longest_due).total_seconds() if longest_due else 0.0,
    )
    swept_at = runners.swept_at()
    yield GaugeMetricFamily(
        "roomscribe_job_sweep_age_seconds",
        "Since somebody last looked after jobs",
        value=(now - swept_at).total_seconds() if swept_at else math.inf,
    )
