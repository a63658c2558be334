"""Sessions and workers to look at; they are changed by the services alone."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backend.leases.models import Session, Worker

SEE_ALL = "events.see_every_event"
"""Who does not hold this permission sees what belongs to the events they organise."""


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OfOwnEventsAdmin(ReadOnlyAdmin):
    """`event` is the path from a row to its event."""

    event = "event"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if request.user.has_perm(SEE_ALL):
            return rows
        return rows.filter(**{f"{self.event}__organisers": request.user})


@admin.register(Session)
class SessionAdmin(OfOwnEventsAdmin):
    list_display = (
        "room",
        "event",
        "state",
        "reason",
        "language",
        "engine_in_use",
        "generation",
        "worker",
        "since",
        "ended_at",
    )
    list_filter = ("state", "reason", "engine")
    list_select_related = ("event",)
    search_fields = ("room",)
    exclude = ("agent",)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "heartbeat_at", "speaking", "capacity", "is_draining", "engines_installed")

    @admin.display(description="engines")
    def engines_installed(self, worker: Worker) -> str:
        return ", ".join(worker.engines)
