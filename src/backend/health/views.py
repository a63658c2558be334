"""Alive, and ready to serve."""

import uuid
from collections.abc import Callable

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from backend.dispatch.rooms import ping
from backend.errors import LiveKitUnavailable
from backend.leases import services as leases


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all are there. The keeper reads `database`, people read the rest."""
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
    except (DatabaseError, LiveKitUnavailable, OSError, LookupError):
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
