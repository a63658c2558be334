"""The backend's settings for tests: the real ones, with the environment a test run has."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("DJANGO_ENV", "local")
os.environ.setdefault("DJANGO_SECRET_KEY", "test-django-secret-" + "x" * 32)
os.environ.setdefault("INTERNAL_API_SECRET", "test-internal-secret-" + "x" * 32)
os.environ.setdefault("API_KEY_ENCRYPTION_KEY", "test-encryption-passphrase-" + "x" * 32)
os.environ.setdefault("LIVEKIT_API_KEY", "testkey")
os.environ.setdefault("LIVEKIT_API_SECRET", "test-secret-" + "x" * 32)

from backend.config.settings import *  # noqa: F403
from backend.config.settings import DATABASES

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file: in memory SQLite has neither WAL nor a busy timeout, and threads share one connection.
    name = Path(tempfile.gettempdir()) / f"roomscribe-test-{os.getpid()}.sqlite3"
    DATABASES["default"]["TEST"] = {"NAME": str(name)}
