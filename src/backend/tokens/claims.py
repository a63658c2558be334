"""A LiveKit token becomes RoomClaims, or an error. Pure: no clock, no settings, no log."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import jwt
from google.protobuf.json_format import ParseError
from livekit.api import TokenVerifier

from backend.errors import TokenRefused
from backend.tokens import jws
from backend.tokens.rules import LEEWAY_S, RULES
from contract.names import ROLE_CAPTIONER, TOKEN_ATTRIBUTE_ROLE


@dataclass(frozen=True, kw_only=True)
class RoomClaims:
    """Who is asking, for which room, and what LiveKit lets them do there. `expires_at_s` is UTC epoch.

    `is_captioner` is the token's own word: participants may change their attributes in the room.
    """

    room: str
    identity: str
    name: str
    metadata: str
    is_room_admin: bool
    is_captioner: bool
    can_publish: bool
    can_publish_sources: tuple[str, ...]
    can_publish_data: bool
    can_subscribe: bool
    issued_by: str
    expires_at_s: float


def verify_token(token: str, *, keys: Mapping[str, str], now_s: float) -> RoomClaims:
    """The claims of a token that joins one room as a person; `keys` maps API key to secret.

    Raises TokenRefused where the token is not authentic or not well-formed, RoomForbidden where it is
    authentic and gives no place in a room. The error's one argument names the rule that failed, safe to log.
    """
    payload = _authentic_payload(token, keys)
    for error, holds in RULES:
        if not holds(payload, now_s):
            raise error(holds.__name__)
    return _room_claims(payload)


def _authentic_payload(token: str, keys: Mapping[str, str]) -> jws.JsonObject:
    try:
        header, payload = jws.parse(token)
    except jws.NotAToken:
        raise TokenRefused("form") from None
    issuer = payload.get("iss")
    secret = keys.get(issuer) if isinstance(issuer, str) else None
    # Without both, the verifier would look for others in the environment.
    if not issuer or not secret:
        raise TokenRefused("issuer")
    # A critical extension changes what the token means, and we implement none.
    if "crit" in header:
        raise TokenRefused("extension")
    verifier = TokenVerifier(issuer, secret, leeway=datetime.timedelta(seconds=LEEWAY_S))
    try:
        verifier.verify(token)
    # The verifier also builds grants from claims it did not check, hence the errors that are not about
    # tokens. Their texts quote the token.
    except (jwt.InvalidTokenError, ParseError, AttributeError, TypeError, ValueError, RecursionError):
        raise TokenRefused("signature") from None
    return payload


def _room_claims(payload: jws.JsonObject) -> RoomClaims:
    """What is absent has livekit-server's default."""
    video = payload["video"]
    can_publish = video.get("canPublish", True)
    return RoomClaims(
        room=video["room"],
        identity=payload["sub"],
        name=payload.get("name", ""),
        metadata=payload.get("metadata", ""),
        is_room_admin=video.get("roomAdmin", False),
        is_captioner=payload.get("attributes", {}).get(TOKEN_ATTRIBUTE_ROLE) == ROLE_CAPTIONER,
        can_publish=can_publish,
        can_publish_sources=tuple(video.get("canPublishSources", ())),
        can_publish_data=video.get("canPublishData", can_publish),
        can_subscribe=video.get("canSubscribe", True),
        issued_by=payload["iss"],
        expires_at_s=payload["exp"],
    )
