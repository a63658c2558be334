"""Events, their rooms and their engines' keys, each for those whose event it is."""

from typing import Any

from django.contrib import admin, messages
from django.db import IntegrityError, models, transaction
from django.db.models import Count, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from backend.events import services
from backend.events.addresses import looked_up
from backend.events.chains import lacks_key
from backend.events.forms import CredentialForm, EventForm, RoomForm, option_lines
from backend.events.models import EngineCredential, EnginesHandout, Event, EventRoom, engine_name
from backend.events.roles import changeable_events, visible_events
from backend.leases.admin import SEE_ALL, OfOwnEventsAdmin
from backend.meetings.services import account_actor
from backend.usage.budgets import month_of
from backend.usage.sentences import budget_sentence
from backend.usage.services import spent_ms
from contract.engines import CATALOGUE


class CarefulAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Looks up the addresses that were typed before it takes the database, and tells two people who save the same."""

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        typed = [value for name, value in request.POST.items() if name.endswith("base_url")]
        try:
            with looked_up(typed):
                return super().changeform_view(request, *args, **options)
        except IntegrityError:
            self.message_user(request, "Somebody else has just saved the same. Look again.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class OfEventInline(admin.options.InlineModelAdmin):  # type: ignore[type-arg]
    """Whoever may change the event may change what is part of it."""

    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return super().has_add_permission(request, obj) and _is_changeable(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return super().has_change_permission(request, obj) and _is_changeable(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_changeable(request, obj)


class RoomInline(OfEventInline, admin.TabularInline):  # type: ignore[type-arg]
    model = EventRoom
    form = RoomForm


class MaskedKey:
    """For those who may look, and change nothing."""

    readonly_fields: tuple[str, ...] = ("engine_named", "masked_key", "option_lines", "updated_at")

    @admin.display(description="engine", ordering="engine")
    def engine_named(self, credential: EngineCredential) -> str:
        return engine_name(credential.engine)

    @admin.display(description="key")
    def masked_key(self, credential: EngineCredential) -> str:
        return credential.masked_key or "none"

    @admin.display(description="options")
    def option_lines(self, credential: EngineCredential) -> str:
        return option_lines(credential.options) or "-"


class CredentialInline(MaskedKey, OfEventInline, admin.StackedInline):  # type: ignore[type-arg]
    model = EngineCredential
    form = CredentialForm
    show_change_link = True

    def get_fields(self, request: HttpRequest, obj: Event | None = None) -> tuple[str, ...]:
        if not self.has_change_permission(request, obj):
            return ("engine_named", "masked_key", "base_url", "model", "option_lines", "updated_at")
        return ("engine", "key", "base_url", "model", "options")


@admin.register(Event)
class EventAdmin(CarefulAdmin):
    form = EventForm
    inlines = (RoomInline, CredentialInline)
    list_display = ("name", "slug", "engines_in_order", "language", "transcription_enabled", "rooms_counted")
    list_filter = ("transcription_enabled",)
    search_fields = ("name", "slug", "rooms__name")
    autocomplete_fields = ("organisers",)

    OPERATORS = ("slug", "monthly_budget_hours", "external_event_id", "organisers")
    """What an organiser sees and does not change: it is about what they may do and spend."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        events = visible_events(request.user).annotate(room_count=Count("rooms", distinct=True))
        return events.order_by(*self.get_ordering(request) or Event._meta.ordering)

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return super().has_change_permission(request, obj) and _is_changeable(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_changeable(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Event | None = None) -> tuple[str, ...]:
        return ("engines_in_order", "used_this_month", *(() if request.user.is_superuser else self.OPERATORS))

    def get_fieldsets(self, request: HttpRequest, obj: Event | None = None) -> Any:
        may_change = self.has_change_permission(request, obj) or obj is None
        engines = "chain" if may_change else "engines_in_order"
        return (
            (None, {"fields": ("name", "slug", "transcription_enabled")}),
            ("Speech", {"fields": (engines, "language", "glossary")}),
            ("Transcripts", {"fields": ("transcript_policy", "transcript_retention_days")}),
            ("Budget", {"fields": ("monthly_budget_hours", *(() if obj is None else ("used_this_month",)))}),
            ("For operators", {"fields": ("organisers", "external_event_id")}),
        )

    def get_prepopulated_fields(self, request: HttpRequest, obj: Event | None = None) -> dict[str, Any]:
        return {"slug": ("name",)} if obj is None else {}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        event = form.instance
        if form.has_changed() or any(formset.has_changed() for formset in formsets):
            services.note_change(event)
        for name in event.engines:
            if lacks_key(event, name):
                warning = f"There is no key for {engine_name(name)}: until there is one, the next engine takes over."
                self.message_user(request, warning, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Event) -> None:
        services.delete_event(obj, actor=account_actor(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        with transaction.atomic():
            for event in queryset:
                services.delete_event(event, actor=account_actor(request.user))

    @admin.display(description="engines")
    def engines_in_order(self, event: Event) -> str:
        return " → ".join(engine_name(name) for name in event.engines)

    @admin.display(description="this month")
    def used_this_month(self, event: Event) -> str:
        spent = spent_ms([event], month=month_of(timezone.now()))
        return budget_sentence(event, spent_ms=spent.get(event.pk, 0))

    @admin.display(description="rooms", ordering="room_count")
    def rooms_counted(self, event: Any) -> int:
        return int(event.room_count)


@admin.register(EngineCredential)
class CredentialAdmin(MaskedKey, CarefulAdmin):
    form = CredentialForm
    readonly_fields = (*MaskedKey.readonly_fields, "whose")
    list_display = ("engine_named", "whose", "masked_key", "base_url", "model", "updated_at")
    list_display_links = ("engine_named",)
    list_filter = ("engine",)
    list_select_related = ("event",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EngineCredential]:
        rows = super().get_queryset(request)
        if request.user.has_perm(SEE_ALL):
            return rows
        return rows.filter(event__in=visible_events(request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        is_theirs = request.user.is_superuser or changeable_events(request.user).exists()
        return super().has_add_permission(request) and is_theirs

    def has_change_permission(self, request: HttpRequest, obj: EngineCredential | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_theirs(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: EngineCredential | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_theirs(request, obj)

    def get_fields(self, request: HttpRequest, obj: EngineCredential | None = None) -> tuple[str, ...]:
        if obj is not None and not self.has_change_permission(request, obj):
            return ("engine_named", "whose", "masked_key", "base_url", "model", "option_lines", "updated_at")
        return ("engine", "event", "key", "base_url", "model", "options")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return (
            super().lookup_allowed(lookup, value, request)
            and lookup.split("__")[0] not in EngineCredential.SEALED
        )

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **options: Any
    ) -> ModelChoiceField | None:  # type: ignore[type-arg]
        is_operator = request.user.is_superuser
        options |= {
            "queryset": changeable_events(request.user),
            "required": not is_operator,
            "empty_label": "All events that have no key of this engine" if is_operator else "—",
        }
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: EngineCredential, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.note_change(obj.event)
        if CATALOGUE[obj.engine].needs_key and not obj.has_key:
            warning = f"{engine_name(obj.engine)} needs a key: without one this entry counts for nothing."
            self.message_user(request, warning, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: EngineCredential) -> None:
        services.delete_credential(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EngineCredential]) -> None:
        with transaction.atomic():
            for credential in queryset:
                services.delete_credential(credential)

    @admin.display(description="for", ordering="event")
    def whose(self, credential: EngineCredential) -> str:
        return str(credential.event or "all events")

    def _is_theirs(self, request: HttpRequest, obj: EngineCredential | None) -> bool:
        if obj is None:
            return True
        return request.user.is_superuser if obj.event is None else _is_changeable(request, obj.event)


@admin.register(EnginesHandout)
class EnginesHandoutAdmin(OfOwnEventsAdmin):
    event = "session__event"
    list_display = ("at", "session", "worker", "generation", "cause", "engines_named")
    list_filter = ("cause",)
    list_select_related = ("session",)
    fields = ("at", "session", "worker", "generation", "cause", "engines_named")

    @admin.display(description="engines")
    def engines_named(self, handout: EnginesHandout) -> str:
        return ", ".join(engine_name(name) for name in handout.engines)


def _is_changeable(request: HttpRequest, event: Event | None) -> bool:
    return event is None or changeable_events(request.user).filter(pk=event.pk).exists()
