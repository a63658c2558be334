"""`GET /metrics`, in Prometheus' text format. A public proxy does not forward it."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from backend.metrics.sessions import SessionsCollector

REGISTRY.register(SessionsCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    if not is_welcome(request.headers.get("Authorization", "")):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def is_welcome(authorization: str) -> bool:
    """Anyone in a local run; else who holds METRICS_TOKEN, and nobody where none is set."""
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(authorization.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    return bool(settings.IS_LOCAL)
