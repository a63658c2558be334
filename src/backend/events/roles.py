"""Who may see and change what: superusers all, organisers their own events, readers nothing but see all.

The admin asks Django's permissions first, which the groups below give; what stands here is about single objects.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

from backend.events.models import Event
from backend.leases.admin import SEE_ALL

ORGANISERS = "Event organisers"
READERS = "Read-only"

LOOKED_AT = (
    "engine_tests.view_enginetest",
    "meetings.view_auditentry",
    "meetings.view_meeting",
    "usage.view_engineusage",
    "usage.view_monthusage",
)

GROUPS: Mapping[str, tuple[str, ...]] = {
    ORGANISERS: (
        "events.view_event",
        "events.change_event",
        *(f"events.{verb}_eventroom" for verb in ("view", "add", "change", "delete")),
        *(f"events.{verb}_enginecredential" for verb in ("view", "add", "change", "delete")),
        "events.view_engineshandout",
        "leases.view_session",
        *LOOKED_AT,
    ),
    READERS: (
        SEE_ALL,
        "events.view_event",
        "events.view_eventroom",
        "events.view_enginecredential",
        "events.view_engineshandout",
        "leases.view_session",
        "leases.view_worker",
        *LOOKED_AT,
    ),
}


def visible_events(user: Any) -> QuerySet[Event]:
    return Event.objects.all() if user.has_perm(SEE_ALL) else changeable_events(user)


def changeable_events(user: Any) -> QuerySet[Event]:
    return Event.objects.all() if user.is_superuser else Event.objects.filter(organisers=user)


def make_groups(**_: object) -> None:
    """After each migration, so that both groups have what this release's pages need."""
    there = {
        f"{app}.{codename}": pk
        for pk, app, codename in Permission.objects.values_list("pk", "content_type__app_label", "codename")
    }
    for name, labels in GROUPS.items():
        group, _is_new = Group.objects.get_or_create(name=name)
        # A migration to an older state has fewer.
        group.permissions.set(there[label] for label in labels if label in there)
