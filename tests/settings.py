"""The backend's settings for tests: the real ones, with the environment a test run has."""

import os

os.environ.setdefault("DJANGO_ENV", "local")
os.environ.setdefault("DJANGO_SECRET_KEY", "test-django-secret-" + "x" * 32)
os.environ.setdefault("INTERNAL_API_SECRET", "test-internal-secret-" + "x" * 32)
os.environ.setdefault("LIVEKIT_API_KEY", "testkey")
os.environ.setdefault("LIVEKIT_API_SECRET", "test-secret-" + "x" * 32)
os.environ.setdefault("DATABASE_URL", "sqlite:////tmp/roomscribe-test.sqlite3")  # only its name: tests run in memory

from backend.config.settings import *  # noqa: E402, F403
