"""`GET /metrics`, in Prometheus' text format. A public proxy does not forward it."""

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from backend.metrics.access import is_welcome
from backend.metrics.sessions import SessionsCollector

DATABASE_REGISTRY = CollectorRegistry()
"""What the database knows; the keeper, which shares the other registry's code, does not say it again."""
DATABASE_REGISTRY.register(SessionsCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    if not is_welcome(request.headers.get("Authorization", "")):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    text = generate_latest(REGISTRY) + generate_latest(DATABASE_REGISTRY)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
