"""Tokens we sign ourselves."""

import datetime

from livekit.api import AccessToken, VideoGrants

from backend.errors import InvalidBody
from backend.tokens.claims import RoomClaims
from backend.tokens.jws import MAX_TOKEN_CHARS
from backend.tokens.names import is_name, is_room_name


def issue_token(
    *, room: str, identity: str, name: str, metadata: str, ttl_s: float, key: str, secret: str
) -> str:
    """A token that joins this room, speaks, listens and sends data there, and does nothing else.

    Raises InvalidBody for one that verify_token would refuse: by its names, or by its length.
    """
    if not (is_room_name(room) and is_name(identity)):
        raise InvalidBody
    grants = VideoGrants(
        room_join=True, room=room, can_publish=True, can_subscribe=True, can_publish_data=True
    )
    return _signed(
        identity=identity, name=name, metadata=metadata, grants=grants, ttl_s=ttl_s, key=key, secret=secret
    )


def renew_token(claims: RoomClaims, *, ttl_s: float, key: str, secret: str) -> str:
    """The same person in the same room, for longer, and with no more rights than the token had.

    A room admin's grant is not renewed: it holds until the token that gave it ends.
    """
    grants = VideoGrants(
        room_join=True,
        room=claims.room,
        can_publish=claims.can_publish,
        can_publish_sources=list(claims.can_publish_sources) or None,
        can_subscribe=claims.can_subscribe,
        can_publish_data=claims.can_publish_data,
    )
    return _signed(
        identity=claims.identity,
        name=claims.name,
        metadata=claims.metadata,
        grants=grants,
        ttl_s=ttl_s,
        key=key,
        secret=secret,
    )


def _signed(
    *, identity: str, name: str, metadata: str, grants: VideoGrants, ttl_s: float, key: str, secret: str
) -> str:
    token = (
        AccessToken(key, secret)
        .with_identity(identity)
        .with_name(name)
        .with_metadata(metadata)
        .with_grants(grants)
        .with_ttl(datetime.timedelta(seconds=ttl_s))
        .to_jwt()
    )
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidBody
    return token
