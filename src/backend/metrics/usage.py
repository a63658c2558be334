"""What engines were sent, and how budgets stand, from the database."""

from collections import Counter
from collections.abc import Iterator

from django.db.models import Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from backend.events.models import Event
from backend.usage.budgets import Standing
from backend.usage.models import EngineUsage
from backend.usage.services import standing_now
from contract.engines import CATALOGUE


def usage() -> Iterator[Metric]:
    yield _engine_audio()
    yield _budgets()


def _engine_audio() -> Metric:
    sums = dict(EngineUsage.objects.values_list("engine").annotate(Sum("audio_ms")).order_by())
    family = CounterMetricFamily(
        "roomscribe_engine_audio_seconds", "Audio that engines were sent", labels=["engine"]
    )
    for engine in CATALOGUE:
        family.add_metric([engine], sums.get(engine, 0) / 1000)
    return family


def _budgets() -> Metric:
    counted = Counter(standing_now(Event.objects.exclude(monthly_budget_hours=None)).values())
    family = GaugeMetricFamily(
        "roomscribe_event_budgets",
        "Events that have a budget, by how it stands this month",
        labels=["standing"],
    )
    for standing in Standing:
        family.add_metric([standing], counted[standing])
    return family
