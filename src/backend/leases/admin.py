"""Sessions and workers to look at; they are changed by the services alone."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backend.leases.models import Session, Worker


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    list_display = (
        "room",
        "state",
        "reason",
        "language",
        "engine",
        "generation",
        "worker",
        "since",
        "ended_at",
    )
    list_filter = ("state", "reason", "engine")
    search_fields = ("room",)
    exclude = ("agent",)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "heartbeat_at", "speaking", "capacity", "is_draining")
