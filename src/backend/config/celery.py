"""The Celery application: `celery -A backend.config.celery worker` and `... beat`."""

import logging.config
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")
django.setup()

from celery.signals import setup_logging
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backend.jobs.broker import app

__all__ = ["app"]

if not settings.CELERY_BROKER_URL:
    raise ImproperlyConfigured("CELERY_BROKER_URL is not set: without a broker the keeper runs jobs.")


@setup_logging.connect
def use_our_logging(**_: object) -> None:
    """Else Celery sets up its own."""
    logging.config.dictConfig(settings.LOGGING)
