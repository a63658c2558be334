"""Jobs over Celery and a real Redis: the row is the truth; nothing is lost with a worker, a message or the broker."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from django.db import transaction
from django.utils import timezone

from backend.jobs import broker, runners
from backend.jobs.models import Job, JobState, Outcome, Tally
from backend.jobs.services import enqueue
from backend.meetings.models import Meeting
from backend.retention.tasks import erase_large
from backend.transcripts.models import Line
from tests.support import tasks
from tests.support.celery import BEAT, WORKER, RunningCelery
from tests.support.redis import RunningRedis

WITHIN_S = 30
A_REQUEST_MAY_WAIT_S = 0.1
"""For the broker."""


class Deployment:
    """A Redis, a beat and a worker; the last can be killed and started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.redis = RunningRedis(directory)
        self.worker = self._celery(*WORKER, name="worker")
        self.beat = self._celery(*BEAT, name="beat")

    def _celery(self, *arguments: str, name: str) -> RunningCelery:
        hold = str(self.directory / "hold")
        return RunningCelery(self.directory, *arguments, broker_url=self.redis.url, name=name, HOLD=hold)


@pytest.fixture(scope="module")
def deployment(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    with django_db_blocker.unblock():
        made = Deployment(tmp_path_factory.mktemp("celery"))
    with made.redis, made.beat, made.worker:
        yield made


@pytest.fixture(autouse=True)
def broker_in_use(deployment: Deployment, settings: Any) -> None:
    settings.CELERY_BROKER_URL = broker.app.conf.broker_url = deployment.redis.url


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Nothing waits beyond the test."""
    yield tmp_path / "said"
    go_on(tmp_path / "said")


def go_on(file: Path) -> None:
    (file.parent / "go").touch()


def until(holds: Callable[[], object], deployment: Deployment) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, deployment.worker.log()
        time.sleep(0.02)


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def is_done(job: Job) -> bool:
    return Job.objects.get(pk=job.pk).state == JobState.DONE


def sweep() -> None:
    """As the beat does every few seconds."""
    broker.app.send_task(broker.SWEEP)


def time_passes(job: Job) -> None:
    """As long as a dead runner's hold lasts."""
    Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(until=timezone.now())


pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_is_run_as_soon_as_it_is_committed(deployment: Deployment, file: Path) -> None:
    with transaction.atomic():
        job = enqueue(tasks.tells, file=str(file))
        assert not lines(file)

    until(lambda: is_done(job), deployment)
    assert lines(file) == ["ran"]


def test_a_worker_killed_while_it_erases_has_erased_nothing_and_the_next_erases_all(
    deployment: Deployment, file: Path
) -> None:
    meeting = kept_meeting()
    hold = deployment.directory / "hold"
    hold.touch()
    job = enqueue(erase_large, meeting=str(meeting.pk), actor="user:ada", action="erase_meeting")
    until(lambda: lines(hold) == ["erasing"], deployment)

    deployment.worker.kill()
    hold.unlink()
    assert Line.objects.filter(meeting=meeting).count() == 3
    time_passes(job)
    deployment.worker.__enter__()
    sweep()

    until(lambda: is_done(job), deployment)
    assert not Line.objects.filter(meeting=meeting).exists()
    assert Tally.objects.get(task="erase_large", outcome=Outcome.LOST).count == 1


def test_a_child_process_killed_in_a_task_is_replaced_and_the_job_is_run_again(
    deployment: Deployment, file: Path
) -> None:
    job = enqueue(tasks.waits, file=str(file))
    until(lambda: lines(file) == ["began"], deployment)

    [child] = deployment.worker.children()
    child.kill()
    go_on(file)
    time_passes(job)
    sweep()

    until(lambda: is_done(job), deployment)
    assert lines(file) == ["began", "began", "ended"]


@pytest.mark.parametrize("how", ["stopped", "hangs"])
def test_a_broker_that_is_away_costs_a_request_nothing_and_loses_nothing(
    deployment: Deployment, file: Path, how: str
) -> None:
    deployment.redis.stop() if how == "stopped" else deployment.redis.pause()
    try:
        began = time.monotonic()
        jobs = [enqueue(tasks.tells, file=str(file)) for _ in range(3)]
        took_s = time.monotonic() - began
        time.sleep(A_REQUEST_MAY_WAIT_S)  # whatever sends has met the broker by now
    finally:
        deployment.redis.start() if how == "stopped" else deployment.redis.go_on()

    assert took_s < A_REQUEST_MAY_WAIT_S * len(jobs)
    sweep()
    until(lambda: all(is_done(job) for job in jobs), deployment)
    assert lines(file) == ["ran"] * 3


def test_what_redis_forgets_is_sent_again_and_what_waits_there_is_a_number(
    deployment: Deployment, file: Path
) -> None:
    held = enqueue(tasks.waits, file=str(file))  # the worker's one process is at it
    until(lambda: lines(file) == ["began"], deployment)
    jobs = [enqueue(tasks.tells, file=str(file)) for _ in range(2)]
    with redis_client.Redis.from_url(deployment.redis.url) as client:
        until(lambda: client.llen(broker.JOBS_QUEUE) == 2, deployment)
        for message in client.lrange(broker.JOBS_QUEUE, 0, -1):
            body = json.loads(base64.b64decode(json.loads(message)["body"]))
            assert body[0] in [[str(job.pk)] for job in jobs]
            assert str(file) not in message.decode()
        client.flushall()
    go_on(file)
    until(lambda: is_done(held), deployment)
    sweep()

    until(lambda: all(is_done(job) for job in jobs), deployment)
    assert sorted(lines(file)) == ["began", "ended", "ran", "ran"]


def test_what_waits_in_the_queue_is_not_sent_again(deployment: Deployment, file: Path) -> None:
    enqueue(tasks.waits, file=str(file))
    until(lambda: lines(file) == ["began"], deployment)
    for _ in range(3):
        enqueue(tasks.tells, file=str(file))
    with redis_client.Redis.from_url(deployment.redis.url) as client:
        until(lambda: client.llen(broker.JOBS_QUEUE) == 3, deployment)
        for _ in range(5):
            broker.send_due()
        assert client.llen(broker.JOBS_QUEUE) == 3
    go_on(file)
    until(lambda: sorted(lines(file)) == ["began", "ended", "ran", "ran", "ran"], deployment)


def test_the_beat_has_periodic_tasks_run(deployment: Deployment) -> None:
    """It has been running since the first of these tests, and found Redis again each time."""
    until(lambda: runners.swept_at() is not None, deployment)
    periodic = Job.objects.filter(task="expire_transcripts", state=JobState.DONE)
    until(periodic.exists, deployment)


def kept_meeting() -> Meeting:
    meeting = Meeting.objects.create(room="room", room_sid=f"RM_{uuid.uuid4().hex}")
    person = meeting.people.create(identity="ada")
    for number in range(1, 4):
        meeting.lines.create(
            segment_id=uuid.uuid4(),
            change=number,
            revision=0,
            sequence=number,
            start_ms=number * 1000,
            end_ms=number * 1000 + 500,
            person=person,
            speaker_identity="ada",
            language="en",
            engine="embedded",
            text="a line",
        )
    return meeting
