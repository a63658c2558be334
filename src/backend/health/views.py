"""Alive, and ready to serve."""

import uuid
from collections.abc import Callable

from django.core.cache import cache
from django.db import Error as DatabaseProblem
from django.db import connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from backend.dispatch.rooms import ping
from backend.errors import LiveKitUnavailable
from backend.leases import services as leases


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def database_ready(request: HttpRequest) -> JsonResponse:
    """Whether a heartbeat would be heard. For the keeper; LiveKit and the rest play no part."""
    is_there = _is_there(_ask_database)
    return JsonResponse({"database": is_there}, status=200 if is_there else 503)


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all are there."""
    parts = {
        "database": _is_there(_ask_database),
        "cache": _is_there(_ask_cache),
        "livekit": _is_there(ping),
        "workers": _is_there(_ask_for_workers),
    }
    is_ready = all(parts.values())
    return JsonResponse({"ready": is_ready, **parts}, status=200 if is_ready else 503)


def _is_there(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (DatabaseProblem, RedisError, LiveKitUnavailable, OSError, LookupError):
        return False
    return True


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_cache() -> None:
    token = uuid.uuid4().hex
    cache.set("readyz", token, 10)
    if cache.get("readyz") is None:
        raise LookupError


def _ask_for_workers() -> None:
    if not leases.live_workers():
        raise LookupError
