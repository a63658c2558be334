"""Room tokens for people, as LiveKit's standard token endpoint hands them out."""

import secrets
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from backend.dispatch.rooms import is_in_room, require_presence
from backend.errors import AttributeNotAllowed, ConnectionDetailsOff, IdentityInUse, IdentityReserved
from backend.tokens.claims import RoomClaims
from backend.tokens.issue import issue_token, renew_token
from contract.names import AGENT_IDENTITY_PREFIX

GUEST = "Guest"


@dataclass(frozen=True, kw_only=True)
class ConnectionDetails:
    server_url: str
    participant_token: str
    room_name: str
    participant_name: str


def connection_details(*, wanted: dict[str, Any], caller: RoomClaims | None) -> ConnectionDetails:
    """A token for who asks; with a valid one and nothing else asked for, the same again with a new end."""
    if not settings.CONNECTION_DETAILS_ENABLED:
        raise ConnectionDetailsOff
    if caller is not None and not wanted:
        return _renewed(caller)
    if wanted.get("participant_attributes") or wanted.get("room_config"):
        raise AttributeNotAllowed
    room = wanted.get("room_name") or f"room-{secrets.token_hex(4)}"
    identity = wanted.get("participant_identity") or f"guest-{secrets.token_hex(8)}"
    if identity.startswith(AGENT_IDENTITY_PREFIX):
        raise IdentityReserved
    is_own = caller is not None and (caller.room, caller.identity) == (room, identity)
    if "participant_identity" in wanted and not is_own and is_in_room(room=room, identity=identity):
        raise IdentityInUse
    name = wanted.get("participant_name", "").strip() or GUEST
    token = issue_token(
        room=room, identity=identity, name=name, metadata=wanted.get("participant_metadata", ""), **_signing()
    )
    return _details(room=room, name=name, token=token)


def _renewed(caller: RoomClaims) -> ConnectionDetails:
    require_presence(room=caller.room, identity=caller.identity)
    return _details(room=caller.room, name=caller.name, token=renew_token(caller, **_signing()))


def _details(*, room: str, name: str, token: str) -> ConnectionDetails:
    return ConnectionDetails(
        server_url=settings.LIVEKIT_PUBLIC_URL, participant_token=token, room_name=room, participant_name=name
    )


def _signing() -> dict[str, Any]:
    return {
        "ttl_s": settings.CONNECTION_DETAILS_TTL_S,
        "key": settings.LIVEKIT_API_KEY,
        "secret": settings.LIVEKIT_API_SECRET,
    }
