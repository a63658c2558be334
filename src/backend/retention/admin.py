"""Erasing the transcripts of selected meetings or events, for those whose events they are."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from backend.events.admin import EventAdmin
from backend.events.models import Event
from backend.events.roles import changeable_events
from backend.meetings.models import Action, Meeting
from backend.meetings.services import account_actor
from backend.retention.erasure import Erased, with_record
from backend.retention.requests import erase_many_now_or_soon
from backend.transcripts.admin import MeetingAdmin

LATER = "There is much of it: it is being erased, and the audit log will say when."


class ErasesTranscripts(admin.ModelAdmin):  # type: ignore[type-arg]
    actions = ("erase_transcripts",)
    erase_as = Action.ERASE_MEETING

    def meetings_of(self, selected: QuerySet[Any]) -> QuerySet[Meeting]:
        raise NotImplementedError

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser or changeable_events(request.user).exists()

    @admin.action(description="Erase the transcripts…", permissions=["erase"])
    def erase_transcripts(self, request: HttpRequest, selected: QuerySet[Any]) -> HttpResponse | None:
        meetings = self.meetings_of(selected)
        if not request.user.is_superuser:
            meetings = meetings.filter(event__in=changeable_events(request.user))
        if "confirmed" not in request.POST:
            return self._asked_first(request, meetings)
        actor = account_actor(request.user)
        receipt = erase_many_now_or_soon(meetings=meetings, actor=actor, action=self.erase_as)
        self.message_user(request, sentence_of(receipt.erased) if receipt else LATER, messages.SUCCESS)
        return None

    def _asked_first(self, request: HttpRequest, meetings: QuerySet[Meeting]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Erase transcripts",
            "opts": self.opts,
            "meetings": with_record(meetings).count(),
            "checkbox": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "everything": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "retention/confirm.html", context)


admin.site.unregister((Meeting, Event))


@admin.register(Meeting)
class ErasableMeetingAdmin(ErasesTranscripts, MeetingAdmin):
    def meetings_of(self, selected: QuerySet[Any]) -> QuerySet[Meeting]:
        return Meeting.objects.filter(pk__in=selected.values("pk"))


@admin.register(Event)
class ErasableEventAdmin(ErasesTranscripts, EventAdmin):
    erase_as = Action.ERASE_EVENT

    def meetings_of(self, selected: QuerySet[Any]) -> QuerySet[Meeting]:
        return Meeting.objects.filter(event__in=selected.values("pk"))


def sentence_of(erased: Erased) -> str:
    return f"Erased: {erased.segments} lines, {erased.exports} exports, and what was noted of {erased.people} people."
