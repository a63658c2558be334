"""`GET /metrics`."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from backend.leases import services as leases
from backend.leases.models import Worker
from contract.status import Reason

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
