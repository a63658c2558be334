"""Who may have a transcript kept."""

import enum

from django.conf import settings

from backend.errors import PolicyForbids, TranscriptsOff
from backend.events.models import Event
from backend.tokens.claims import RoomClaims


class Policy(enum.StrEnum):
    ROOM_ADMIN = "room_admin"
    ANYONE = "anyone"
    OFF = "off"


def policy_of(event: Event | None) -> Policy:
    """The event's, where it has one; but where the deployment keeps none, nobody does."""
    ours = Policy(settings.TRANSCRIPTS_POLICY)
    if ours is Policy.OFF or event is None or not event.transcript_policy:
        return ours
    return Policy(event.transcript_policy)


def may_keep(policy: Policy, claims: RoomClaims) -> bool:
    return policy is Policy.ANYONE or (policy is Policy.ROOM_ADMIN and claims.is_room_admin)


def require_right(policy: Policy, claims: RoomClaims, *, keep: bool) -> None:
    """Where none may be kept, a room admin may still stop one. Raises TranscriptsOff or PolicyForbids."""
    if policy is Policy.OFF and keep:
        raise TranscriptsOff
    if policy is not Policy.ANYONE and not claims.is_room_admin:
        raise PolicyForbids
