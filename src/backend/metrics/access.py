"""Who may read metrics."""

import hmac

from django.conf import settings


def is_welcome(authorization: str) -> bool:
    """Anyone in a local run; else who holds METRICS_TOKEN, and nobody where none is set."""
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(authorization.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    return bool(settings.IS_LOCAL)
