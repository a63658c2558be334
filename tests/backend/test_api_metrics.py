"""`GET /metrics`."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from backend.leases import services as leases
from backend.leases.counters import CLAIMS
from backend.leases.models import Session, Worker
from contract.status import Reason, State
from contract.workers import ClaimRequest, JobReport, WorkerHeartbeat
from tests.backend.conftest import WorkerApi

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"


def value(text: str, sample: str) -> float:
    return float(re.search(rf"^{re.escape(sample)} (\S+)$", text, flags=re.MULTILINE)[1])  # type: ignore[index]


def test_sessions_workers_and_redispatches_are_counted(idle_worker: Worker) -> None:
    session, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="a"
    )
    leases.next_generation(session, reason=Reason.WORKER_LOST)

    text = Client().get("/metrics").content.decode()

    assert value(text, 'roomscribe_sessions{state="waiting_for_worker"}') == 1
    assert value(text, 'roomscribe_sessions{state="live"}') == 0
    assert value(text, "roomscribe_redispatches_total") == 1
    assert (value(text, "roomscribe_workers"), value(text, "roomscribe_capacity_pipelines")) == (1, 8)


def test_claims_and_the_time_to_live_are_counted(worker_api: WorkerApi, settings: Any) -> None:
    session, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="a"
    )
    Session.objects.update(dispatched_at=timezone.now() - datetime.timedelta(seconds=1.5))

    def counted() -> tuple[float, ...]:
        text = Client().get("/metrics").content.decode()
        samples = (
            'roomscribe_claims_total{outcome="granted"}',
            'roomscribe_claims_total{outcome="stale"}',
            "roomscribe_time_to_live_seconds_count",
            "roomscribe_time_to_live_seconds_sum",
        )
        return tuple(value(text, sample) for sample in samples)

    for outcome in ("granted", "stale"):
        CLAIMS.labels(outcome)
    before = counted()
    claim = f"/internal/v1/sessions/{session.pk}/claim"
    assert worker_api.post(claim, ClaimRequest(generation=1)).status_code == 200
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")
    assert other.post(claim, ClaimRequest(generation=1)).status_code == 409
    job = JobReport(session=str(session.pk), generation=1, state=State.LIVE)
    beat = WorkerHeartbeat(capacity=8, draining=False, engines=("embedded",), jobs=(job,))
    for _ in range(2):  # it becomes live once
        assert worker_api.post("/internal/v1/workers/worker-1/heartbeat", beat).status_code == 200

    granted, stale, lives, seconds = (now - then for now, then in zip(counted(), before, strict=True))
    assert (granted, stale, lives) == (1, 1, 1)
    assert 1.5 <= seconds < 5


def test_full_workers_have_no_capacity(idle_worker: Worker) -> None:
    Worker.objects.update(speaking=8)

    text = Client().get("/metrics").content.decode()

    assert (value(text, "roomscribe_workers"), value(text, "roomscribe_workers_with_capacity")) == (1, 0)
    assert value(text, "roomscribe_database_up") == 1


def test_without_the_database_it_says_so_and_what_the_process_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(type(connections["default"]), "ensure_connection", refuse)

    answer = Client().get("/metrics")

    assert answer.status_code == 200
    assert value(answer.content.decode(), "roomscribe_database_up") == 0
    assert "# TYPE roomscribe_claims_total counter" in answer.content.decode()


def test_every_metric_in_the_reference_is_there(idle_worker: Worker) -> None:
    rows = re.findall(r"^\| `(roomscribe_\w+)[^|]*\| backend", PAGE.read_text(), flags=re.MULTILINE)
    text = Client().get("/metrics").content.decode()

    assert rows
    for name in rows:
        assert f"# TYPE {name}" in text


@pytest.mark.parametrize(
    ("is_local", "token", "sent", "status"),
    [
        (True, "", "", 200),
        (False, "", "", 401),
        (False, "", "Bearer ", 401),
        (False, "t0ken", "Bearer t0ken", 200),
        (False, "t0ken", "Bearer other", 401),
        (True, "t0ken", "", 401),
    ],
)
def test_outside_a_local_run_it_wants_the_token(
    settings: Any, is_local: bool, token: str, sent: str, status: int
) -> None:
    settings.IS_LOCAL, settings.METRICS_TOKEN = is_local, token

    assert Client().get("/metrics", headers={"Authorization": sent}).status_code == status
