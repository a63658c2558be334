"""The one door from a token to a room."""

from rest_framework.request import Request

from backend.errors import RoomForbidden, TokenRefused
from backend.tokens.claims import RoomClaims


def claims_for_room(request: Request, room: str) -> RoomClaims:
    """The caller's claims, if they are for exactly this room: nothing is folded, normalised or a wildcard."""
    if not isinstance(claims := request.auth, RoomClaims):
        raise TokenRefused("absent")
    if claims.room != room:
        raise RoomForbidden("room")
    return claims
