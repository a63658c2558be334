"""What the database knows: the same from every backend, whichever is asked."""

import time
from collections.abc import Iterator

from django.db.models import Count, F, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.leases import services as leases
from backend.leases.models import Session
from backend.metrics.jobs import jobs
from backend.metrics.usage import usage
from backend.questions import Question
from contract.status import State

ANSWER_WITHIN_S = 0.8


class SessionsCollector(Collector):
    """Without the database it says just that, in time: what else a process knows is still worth having."""

    def __init__(self) -> None:
        self._question = Question(_known)

    def collect(self) -> Iterator[Metric]:
        known = self._question.put().answer(until_s=time.monotonic() + ANSWER_WITHIN_S)
        yield GaugeMetricFamily(
            "roomscribe_database_up", "1 while the database answers", value=known is not None
        )
        yield from known or []

    def describe(self) -> Iterator[Metric]:
        """Nothing: asked at registration, when there may be no database yet."""
        return iter(())


def _known() -> list[Metric]:
    return [_sessions_by_state(), _redispatches(), _oldest_heartbeat(), *_workers(), *usage(), *jobs()]


def _sessions_by_state() -> Metric:
    counted = dict(
        Session.objects.filter(ended_at=None).values_list("state").annotate(Count("pk")).order_by()
    )
    family = GaugeMetricFamily("roomscribe_sessions", "Active sessions by state", labels=["state"])
    for state in State:
        if state is not State.IDLE:
            family.add_metric([state], counted.get(state, 0))
    return family


def _redispatches() -> Metric:
    total = Session.objects.aggregate(total=Sum(F("generation") - 1))["total"] or 0
    return CounterMetricFamily(
        "roomscribe_redispatches", "Leases that went to a further generation", value=total
    )


def _oldest_heartbeat() -> Metric:
    oldest = (
        Session.objects.filter(ended_at=None, heartbeat_at__isnull=False)
        .order_by("heartbeat_at")
        .values_list("heartbeat_at", flat=True)
        .first()
    )
    age_s = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    return GaugeMetricFamily(
        "roomscribe_oldest_heartbeat_seconds", "Age of the oldest heartbeat of an active session", value=age_s
    )


def _workers() -> Iterator[Metric]:
    workers = leases.live_workers()
    yield GaugeMetricFamily("roomscribe_workers", "Workers that take jobs", value=len(workers))
    yield GaugeMetricFamily(
        "roomscribe_workers_with_capacity",
        "Workers that could take a job now",
        value=sum(not leases.has_no_room(worker) for worker in workers),
    )
    yield GaugeMetricFamily(
        "roomscribe_speaking_pipelines",
        "Pipelines that hold an engine stream",
        value=sum(worker.speaking for worker in workers),
    )
    yield GaugeMetricFamily(
        "roomscribe_capacity_pipelines",
        "Pipelines all workers can hold",
        value=sum(worker.capacity for worker in workers),
    )
