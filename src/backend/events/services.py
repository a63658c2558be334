"""What follows from a change of an event, its rooms or a key: running sessions ask for their engines again."""

from collections.abc import Callable

from django.db import transaction
from django.db.models import F, Q

from backend.events.models import EngineCredential, Event, EventRoom
from backend.leases.models import Session

BEFORE_DELETE: list[Callable[[Event, str], None]] = []


def before_delete(callback: Callable[[Event, str], None]) -> None:
    """Called with the event and who deletes it, in the transaction that does."""
    BEFORE_DELETE.append(callback)


def note_change(event: Event | None) -> None:
    """Call it in the transaction of the change; None: it may concern every session."""
    active = Session.objects.filter(ended_at=None)
    if event is not None:
        active = active.filter(Q(event=event) | Q(room__in=event.rooms.values("name")))
    active.update(engines_revision=F("engines_revision") + 1)


def delete_event(event: Event, *, actor: str) -> None:
    with transaction.atomic():
        note_change(event)
        for callback in BEFORE_DELETE:
            callback(event, actor)
        event.delete()


def delete_credential(credential: EngineCredential) -> None:
    with transaction.atomic():
        note_change(credential.event)
        credential.delete()


def rooms_switched_off() -> frozenset[str]:
    """Those with subtitles now whose event wants none."""
    active = Session.objects.filter(ended_at=None)
    found = EventRoom.objects.filter(name__in=active.values("room"), event__transcription_enabled=False)
    return frozenset(found.values_list("name", flat=True))
