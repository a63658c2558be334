"""Alive, and ready to serve."""

import time
import uuid
from dataclasses import asdict, dataclass

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse

from backend.dispatch.rooms import ping
from backend.leases import services as leases
from backend.questions import Question

ANSWER_WITHIN_S = 0.8
"""Whoever asks waits a second at most."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """`live` take jobs; those `with_capacity` could take one now."""

    live: int
    with_capacity: int


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def database_ready(request: HttpRequest) -> JsonResponse:
    """Whether a heartbeat would be heard. For the keeper; LiveKit and the rest play no part."""
    is_there = DATABASE.put().answer(until_s=_deadline_s()) is not None
    return JsonResponse({"database": is_there}, status=200 if is_there else 503)


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all are there and somebody can take a job. What does not answer in time is not there."""
    until_s = _deadline_s()
    parts = {"database": DATABASE.put(), "cache": CACHE.put(), "livekit": LIVEKIT.put()}
    asked_for_workers = WORKERS.put()
    are_there = {name: asked.answer(until_s=until_s) is not None for name, asked in parts.items()}
    workers = asked_for_workers.answer(until_s=until_s)
    is_ready = all(are_there.values()) and workers is not None and workers.with_capacity > 0
    told = {"ready": is_ready, **are_there, "workers": asdict(workers) if workers else None}
    return JsonResponse(told, status=200 if is_ready else 503)


def _deadline_s() -> float:
    return time.monotonic() + ANSWER_WITHIN_S


def _ask_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _ask_cache() -> bool:
    token = uuid.uuid4().hex
    cache.set("readyz", token, 10)
    if cache.get("readyz") is None:
        raise LookupError
    return True


def _ask_livekit() -> bool:
    ping()
    return True


def _ask_for_workers() -> Workers:
    live = leases.live_workers()
    return Workers(live=len(live), with_capacity=sum(not leases.has_no_room(worker) for worker in live))


DATABASE, CACHE = Question(_ask_database), Question(_ask_cache)
LIVEKIT, WORKERS = Question(_ask_livekit), Question(_ask_for_workers)
