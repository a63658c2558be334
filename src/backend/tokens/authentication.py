"""Who is asking: the LiveKit token of the Authorization header."""

import logging
import re
import time
from dataclasses import dataclass

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from backend.errors import AppError, TokenRefused
from backend.tokens.claims import RoomClaims, verify_token
from backend.tokens.jws import MAX_TOKEN_CHARS

logger = logging.getLogger(__name__)

SCHEME = "Bearer"
MAX_HEADER_CHARS = len(SCHEME) + 1 + MAX_TOKEN_CHARS

# One space. Two headers arrive joined by a comma, which no token holds.
BEARER = re.compile(r"(?i:bearer) ([A-Za-z0-9_.-]+)\Z")


@dataclass(frozen=True)
class Caller:
    """Whoever holds the token; `request.user`. Backend accounts play no part."""

    identity: str
    room: str
    is_authenticated: bool = True


class LiveKitTokenAuthentication(BaseAuthentication):
    """`request.auth` becomes RoomClaims. No header, no caller; any other header is refused."""

    def authenticate(self, request: Request) -> tuple[Caller, RoomClaims] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        try:
            claims = verify_token(bearer_token(header), keys=settings.LIVEKIT_KEYS, now_s=time.time())
        except AppError as error:
            logger.info("token refused", extra={"code": error.code, "rule": error.args[0]})
            raise
        return Caller(identity=claims.identity, room=claims.room), claims

    def authenticate_header(self, _request: Request) -> str:
        """Without it REST framework answers 403 where 401 is meant."""
        return SCHEME


def bearer_token(header: str) -> str:
    """The token of an Authorization header, judged by its length before anything reads it."""
    if len(header) > MAX_HEADER_CHARS or (bearer := BEARER.match(header)) is None:
        raise TokenRefused("header")
    return bearer[1]
