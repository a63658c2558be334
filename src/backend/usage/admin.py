"""Usage to look at; organisers see that of their own events."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest

from backend.engines import LAST_ENGINE
from backend.leases.admin import OfOwnEventsAdmin
from backend.usage.budgets import MS_PER_HOUR
from backend.usage.models import EngineUsage, MonthUsage
from backend.usage.sentences import budget_sentence


@admin.register(EngineUsage)
class EngineUsageAdmin(OfOwnEventsAdmin):
    event = "session__event"
    list_display = ("event_named", "session", "since", "generation", "engine", "seconds")
    list_filter = ("engine", ("session__event", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("session__event",)
    search_fields = ("session__room",)
    ordering = ("-session__since", "generation", "engine")

    @admin.display(description="event", ordering="session__event")
    def event_named(self, usage: EngineUsage) -> str:
        return str(usage.session.event or "none")

    @admin.display(ordering="session__since")
    def since(self, usage: EngineUsage) -> Any:
        return usage.session.since

    @admin.display(ordering="audio_ms")
    def seconds(self, usage: EngineUsage) -> str:
        return f"{usage.audio_ms / 1000:.0f}"


@admin.register(MonthUsage)
class MonthUsageAdmin(OfOwnEventsAdmin):
    list_display = ("month_named", "event_named", "engine", "hours", "budget")
    list_filter = ("engine", ("event", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("event",)
    ordering = ("-month", "event__name", "engine")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MonthUsage]:
        paid = MonthUsage.objects.filter(event=OuterRef("event"), month=OuterRef("month")).exclude(
            engine=LAST_ENGINE
        )
        spent = paid.values("event").annotate(spent=Sum("audio_ms")).values("spent")
        return super().get_queryset(request).annotate(spent_ms=Subquery(spent))

    @admin.display(description="month", ordering="month")
    def month_named(self, usage: MonthUsage) -> str:
        return f"{usage.month:%Y-%m}"

    @admin.display(description="event", ordering="event__name")
    def event_named(self, usage: MonthUsage) -> str:
        return str(usage.event or "none")

    @admin.display(ordering="audio_ms")
    def hours(self, usage: MonthUsage) -> str:
        return f"{usage.audio_ms / MS_PER_HOUR:.2f}"

    @admin.display(description="budget")
    def budget(self, usage: Any) -> str:
        return budget_sentence(usage.event, spent_ms=usage.spent_ms or 0) if usage.event else "none"
