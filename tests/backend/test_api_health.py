"""`/healthz`, `/readyz` and `config/`."""

from typing import Any

import pytest
from django.test import Client

from backend.leases.models import Worker
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db


def test_alive_is_alive_without_anything() -> None:
    assert Client().get("/healthz").status_code == 200


def test_ready_when_database_cache_livekit_and_a_worker_are_there(
    livekit: LiveKitServer, idle_worker: Worker
) -> None:
    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["ready"]) == (200, True)


def test_not_ready_without_a_worker_and_says_what_is_missing(livekit: LiveKitServer) -> None:
    answer = Client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "database": True,
        "cache": True,
        "livekit": True,
        "workers": False,
    }


def test_not_ready_without_livekit(livekit: LiveKitServer, idle_worker: Worker, settings: Any) -> None:
    settings.LIVEKIT_URL = "ws://127.0.0.1:9"

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["livekit"]) == (503, False)


def test_config_tells_a_page_what_it_needs_and_nothing_else(livekit: LiveKitServer) -> None:
    config = Client().get("/api/v1.0/config/").json()

    assert config["livekit_url"] == livekit.url
    assert config["engines"] == [{"id": "embedded", "name": "Basic offline recogniser", "languages": ["en"]}]
    assert set(config) == {
        "livekit_url",
        "subtitles_enabled",
        "connection_details_enabled",
        "language",
        "engines",
    }
