"""Whether who asks is in the room: now, where something changes; in the last seconds, where something is read."""

import contextlib
import hashlib

from django.core.cache import cache
from redis.exceptions import RedisError

from backend.dispatch.rooms import Presence, require_presence
from backend.tokens.claims import RoomClaims

SEEN_FOR_S = 5


def presence_now(claims: RoomClaims) -> Presence:
    """Raises RoomAbsent, NotAParticipant or LiveKitUnavailable, within about 0.8 s."""
    presence = require_presence(room=claims.room, identity=claims.identity)
    with contextlib.suppress(RedisError):
        cache.set(_key(claims), presence, SEEN_FOR_S)
    return presence


def presence_lately(claims: RoomClaims) -> Presence:
    """As `presence_now`, unless they were seen in the last SEEN_FOR_S."""
    try:
        seen = cache.get(_key(claims))
    except RedisError:  # a cache that is away has seen nobody, and is not waited for twice
        return require_presence(room=claims.room, identity=claims.identity)
    return seen if isinstance(seen, Presence) else presence_now(claims)


def _key(claims: RoomClaims) -> str:
    # Hashed: names of any script and length, and nothing of them in the cache's keys.
    both = f"{claims.room}\0{claims.identity}".encode()
    return f"presence:{hashlib.sha256(both).hexdigest()}"
