from django.apps import AppConfig
from django.conf import settings


class JobsConfig(AppConfig):
    name = "backend.jobs"

    def ready(self) -> None:
        from backend.jobs import runners  # noqa: F401 (registers its periodic task)

        if settings.CELERY_BROKER_URL:
            # Celery takes a fifth of a second to import: not in a request, and not where there is no broker.
            from backend.jobs import broker  # noqa: F401
