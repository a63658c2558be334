"""Meetings and the audit log, to look at; no words stand in either."""

from typing import Any

from django.contrib import admin

from backend.leases.admin import OfOwnEventsAdmin
from backend.meetings.models import AuditEntry, Meeting


@admin.register(Meeting)
class MeetingAdmin(OfOwnEventsAdmin):
    list_display = ("room", "event", "began_at", "ended_at", "kept")
    list_filter = (("event", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("event",)
    search_fields = ("room",)
    fields = ("room", "event", "began_at", "ended_at", "kept_since", "periods", "erased_at")
    date_hierarchy = "began_at"

    @admin.display(description="transcript is kept", boolean=True)
    def kept(self, meeting: Meeting) -> bool:
        return meeting.is_kept

    @admin.display(description="a transcript was kept")
    def periods(self, meeting: Meeting) -> str:
        return "; ".join(str(period) for period in meeting.kept_periods.all()) or "never"


@admin.register(AuditEntry)
class AuditEntryAdmin(OfOwnEventsAdmin):
    list_display = ("at", "action", "actor", "room", "event", "in_short")
    list_filter = ("action", ("event", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("event",)
    search_fields = ("room", "actor", "meeting")
    fields = ("at", "action", "actor", "room", "event", "meeting", "in_short")
    date_hierarchy = "at"

    @admin.display(description="facts")
    def in_short(self, entry: AuditEntry) -> str:
        return "; ".join(_in_words(name, value) for name, value in entry.facts.items()) or "-"


def _in_words(name: str, value: Any) -> str:
    if name == "engines":
        return (
            "audio went to " + ", ".join(f"{e['audio_goes_to']} ({e['engine']})" for e in value)
            if value
            else "no audio"
        )
    return f"{name}: {value}"
