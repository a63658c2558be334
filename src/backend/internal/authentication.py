"""Who calls the agent API: a worker, by a short-lived token under INTERNAL_API_SECRET."""

import time
from dataclasses import dataclass

import jwt
from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from backend.errors import InternalTokenRefused
from contract.names import INTERNAL_AUDIENCE, INTERNAL_TOKEN_TTL_S

MAX_TOKEN_CHARS = 2048
LEEWAY_S = 5


@dataclass(frozen=True, kw_only=True)
class WorkerCaller:
    name: str
    is_authenticated: bool = True


class WorkerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[WorkerCaller, None]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_CHARS:
            raise InternalTokenRefused
        return WorkerCaller(name=_worker_of(token)), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _worker_of(token: str) -> str:
    try:
        claims = jwt.decode(
            token,
            settings.INTERNAL_API_SECRET,
            algorithms=["HS256"],
            audience=INTERNAL_AUDIENCE,
            leeway=LEEWAY_S,
            options={"require": ["exp", "aud", "sub"]},
        )
    except (jwt.InvalidTokenError, ValueError, TypeError) as exc:
        raise InternalTokenRefused from exc
    name = claims["sub"]
    is_short_lived = claims["exp"] - time.time() <= INTERNAL_TOKEN_TTL_S + LEEWAY_S
    if not (isinstance(name, str) and 0 < len(name) <= 255 and is_short_lived):
        raise InternalTokenRefused
    return name
