"""Who of those present may start and stop."""

import enum

from django.conf import settings

from backend.dispatch.rooms import Presence
from backend.errors import PolicyForbids
from backend.tokens.claims import RoomClaims


class Policy(enum.StrEnum):
    ANYONE = "anyone"
    PUBLISHERS = "publishers"
    ROOM_ADMIN = "room_admin"


def is_allowed(policy: Policy, *, can_publish: bool, is_room_admin: bool) -> bool:
    """`can_publish` is LiveKit's word of now; `is_room_admin` can only be read in the token, and ends with it."""
    match policy:
        case Policy.ANYONE:
            return True
        case Policy.PUBLISHERS:
            return can_publish
        case Policy.ROOM_ADMIN:
            return is_room_admin


def require_right(claims: RoomClaims, presence: Presence) -> None:
    policy = Policy(settings.SUBTITLES_POLICY)
    if not is_allowed(policy, can_publish=presence.can_publish, is_room_admin=claims.is_room_admin):
        raise PolicyForbids
