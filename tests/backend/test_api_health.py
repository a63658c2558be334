"""`/healthz`, `/readyz` and `config/`."""

import datetime
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client

from backend import questions
from backend.leases.models import Worker
from backend.questions import Question
from contract.names import PATH_READY
from tests.support.livekit import LiveKitServer

# What is asked is asked on other threads, so what they are to see has to be committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_alive_is_alive_without_anything() -> None:
    assert Client().get("/healthz").status_code == 200


def test_ready_when_database_cache_livekit_and_a_worker_are_there(
    livekit: LiveKitServer, idle_worker: Worker
) -> None:
    answer = Client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "database": True,
        "cache": True,
        "livekit": True,
        "workers": {"live": 1, "with_capacity": 1},
    }


def test_not_ready_without_a_worker_and_says_what_is_missing(livekit: LiveKitServer) -> None:
    answer = Client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "database": True,
        "cache": True,
        "livekit": True,
        "workers": {"live": 0, "with_capacity": 0},
    }


def test_not_ready_while_every_worker_is_full(livekit: LiveKitServer, idle_worker: Worker) -> None:
    Worker.objects.update(speaking=8)
    full = Client().get("/readyz")
    Worker.objects.create(name="worker-2", heartbeat_at=datetime.datetime.now(datetime.UTC), capacity=8)
    one_left = Client().get("/readyz")

    assert (full.status_code, full.json()["workers"]) == (503, {"live": 1, "with_capacity": 0})
    assert (one_left.status_code, one_left.json()["workers"]) == (200, {"live": 2, "with_capacity": 1})


def test_not_ready_without_livekit(livekit: LiveKitServer, idle_worker: Worker, settings: Any) -> None:
    settings.LIVEKIT_URL = "ws://127.0.0.1:9"

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["livekit"]) == (503, False)


def test_a_livekit_or_cache_that_hangs_is_not_waited_for(
    livekit: LiveKitServer, idle_worker: Worker, settings: Any, silent_port: int
) -> None:
    settings.LIVEKIT_URL = f"ws://127.0.0.1:{silent_port}"
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache"}
    settings.CACHES = {"default": {**redis, "LOCATION": f"redis://127.0.0.1:{silent_port}/0"}}
    began_s = time.monotonic()

    answer = Client().get("/readyz")

    assert time.monotonic() - began_s < 1
    assert answer.status_code == 503
    assert (answer.json()["livekit"], answer.json()["cache"], answer.json()["database"]) == (
        False,
        False,
        True,
    )


@pytest.mark.parametrize("path", ["/readyz", PATH_READY])
def test_a_database_that_hangs_is_not_waited_for(
    livekit: LiveKitServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    is_back = threading.Event()

    def hang(*_: object) -> None:
        is_back.wait(30)
        raise OperationalError

    monkeypatch.setattr(type(connections["default"]), "ensure_connection", hang)
    began_s = time.monotonic()

    answer = Client().get(path)

    took_s = time.monotonic() - began_s
    is_back.set()
    assert took_s < 1
    assert (answer.status_code, answer.json()["database"]) == (503, False)
    assert answer.json().get("workers") is None


def test_questions_that_hang_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SHARED_FOR_S", 0.0)
    is_over, asked = threading.Event(), threading.Semaphore(0)

    def hang() -> bool:
        asked.release()
        return is_over.wait(30)

    question = Question(hang)
    stuck = [question.put() for _ in range(10)]

    for _ in range(questions.MOST_STUCK):
        assert asked.acquire(timeout=5)
    assert not asked.acquire(blocking=False)
    is_over.set()
    soon_s = time.monotonic() + 5
    assert [bool(one.answer(until_s=soon_s)) for one in stuck] == [True] * questions.MOST_STUCK + [False] * 7
    assert question.put().answer(until_s=soon_s) is True


def test_who_asks_at_the_same_time_is_answered_once() -> None:
    may_answer, times = threading.Event(), []

    def count() -> bool:
        times.append(1)
        return may_answer.wait(30)

    question = Question(count)
    all_asked = [question.put() for _ in range(50)]
    may_answer.set()

    assert all(asked.answer(until_s=time.monotonic() + 5) for asked in all_asked)
    assert len(times) == 1


def test_config_tells_a_page_what_it_needs_and_nothing_else(livekit: LiveKitServer) -> None:
    config = Client().get("/api/v1.0/config/").json()

    assert config["livekit_url"] == livekit.url
    assert config["engines"] == [{"id": "embedded", "name": "Basic offline recogniser", "languages": ["en"]}]
    assert set(config) == {
        "livekit_url",
        "subtitles_enabled",
        "transcripts_enabled",
        "transcript_readers",
        "transcript_retention_days",
        "connection_details_enabled",
        "language",
        "engines",
    }
