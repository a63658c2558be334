"""`manage.py keeper --check`, the keeper's own `/metrics`, and the jobs it runs where there is no broker."""

import contextlib
import datetime
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from backend.leases.models import KeeperTurn
from tests.backend.running_backend import database_url
from tests.support.livekit import ROOT
from tests.support.ports import free_port
from tools.supervision import STOP_WAIT_S

MANAGE = (sys.executable, "src/backend/manage.py")
WITHIN_S = 30

KEEPER_WITH_TASKS = """
import django; django.setup()
from django.core.management import call_command
from tests.support import tasks
call_command("keeper")
"""

ENQUEUE = """
import django; django.setup()
from backend.jobs.services import enqueue
from tests.support import tasks
enqueue(tasks.waits, file="{file}")
enqueue(tasks.tells, file="{file}")
"""


def turn_until(seconds_from_now: float) -> None:
    until = timezone.now() + datetime.timedelta(seconds=seconds_from_now)
    KeeperTurn.objects.update_or_create(pk=1, defaults={"holder": "another-machine-7", "until": until})


class TestCheck:
    pytestmark = pytest.mark.django_db

    def test_passes_while_any_keeper_holds_its_turn(self) -> None:
        turn_until(3)

        call_command("keeper", check=True, stdout=StringIO())

    def test_fails_when_no_keeper_ever_ran_and_when_the_last_one_stopped_its_rounds(self) -> None:
        with pytest.raises(CommandError, match=r"^no_keeper$"):
            call_command("keeper", check=True)
        turn_until(-0.1)
        with pytest.raises(CommandError, match=r"^no_keeper$"):
            call_command("keeper", check=True)


class Keeper:
    """The real process, on a database of its own whose address is in a file."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._arguments = arguments or (*MANAGE[1:], "keeper")
        self.metrics_port = free_port()
        self._database = directory / "database-url"
        self._database.write_text(f"{database_url(directory)}\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "DJANGO_ENV": "production",
            "DJANGO_SETTINGS_MODULE": "backend.config.settings",
            "DATABASE_URL_FILE": str(self._database),
            "LIVEKIT_URL": "ws://127.0.0.1:9",
            "LIVEKIT_API_KEY": "key",
            "KEEPER_METRICS_PORT": str(self.metrics_port),
            "METRICS_TOKEN": "t0ken",
            **{
                name: f"{name.lower()}-{'x' * 40}"
                for name in (
                    "DJANGO_SECRET_KEY",
                    "INTERNAL_API_SECRET",
                    "API_KEY_ENCRYPTION_KEY",
                    "LIVEKIT_API_SECRET",
                )
            },
        }
        self.manage("migrate", "--verbosity", "0").check_returncode()
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen((sys.executable, *self._arguments), cwd=ROOT, env=self.environment)

    def python(self, code: str) -> None:
        subprocess.run((sys.executable, "-c", code), cwd=ROOT, env=self.environment, check=True, timeout=60)

    def until_job(self, task: str, state: str) -> None:
        asked = f"SELECT count(*) FROM jobs_job WHERE task = '{task}' AND state = '{state}'"
        deadline = time.monotonic() + WITHIN_S
        while not asked_of(self._database.read_text().strip(), asked):
            assert self.process.poll() is None or state == "due"
            assert time.monotonic() < deadline, (task, state)
            time.sleep(0.05)

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            (*MANAGE, *arguments), cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60
        )

    def check(self) -> "subprocess.CompletedProcess[str]":
        return self.manage("keeper", "--check")

    def metrics(self, authorization: str) -> tuple[int, str]:
        address = f"http://127.0.0.1:{self.metrics_port}/metrics"
        request = urllib.request.Request(address, headers={"Authorization": authorization})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, ""


def asked_of(address: str, query: str) -> int:
    """The one number that is the answer."""
    if address.startswith("postgres"):
        with psycopg.connect(address) as postgres:
            return int(postgres.execute(query).fetchone()[0])  # type: ignore[index]
    with contextlib.closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as sqlite:
        return int(sqlite.execute(query).fetchone()[0])


def ended(running: Keeper) -> Iterator[Keeper]:
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    yield from ended(Keeper(tmp_path))


def test_the_check_follows_a_real_keeper_from_start_to_stop(keeper: Keeper) -> None:
    deadline = time.monotonic() + WITHIN_S
    while (check := keeper.check()).returncode and time.monotonic() < deadline:
        assert keeper.process.poll() is None
    assert check.returncode == 0

    keeper.process.send_signal(signal.SIGSTOP)  # as stuck as a process can be
    while not (check := keeper.check()).returncode and time.monotonic() < deadline:
        pass
    assert (check.returncode, check.stderr.strip()) == (1, "CommandError: no_keeper")


def test_the_keepers_metrics_want_the_token_outside_a_local_run(keeper: Keeper) -> None:
    deadline = time.monotonic() + WITHIN_S
    answer = (0, "")
    while answer[0] == 0 and time.monotonic() < deadline:
        try:
            answer = keeper.metrics("Bearer t0ken")
        except urllib.error.URLError:
            time.sleep(0.05)

    assert answer[0] == 200
    assert "# TYPE roomscribe_keeper_rounds_total counter" in answer[1]
    assert [keeper.metrics(sent)[0] for sent in ("", "Bearer ", "Bearer other")] == [401, 401, 401]


@pytest.fixture
def keeper_with_tasks(tmp_path: Path) -> Iterator[Keeper]:
    """The real one knows no task of the tests."""
    yield from ended(Keeper(tmp_path, "-c", KEEPER_WITH_TASKS))


def test_the_keeper_runs_jobs_one_at_a_time_and_leaves_them_due_when_it_is_told_to_end(
    keeper_with_tasks: Keeper, tmp_path: Path
) -> None:
    keeper, said = keeper_with_tasks, tmp_path / "said"
    keeper.until_job("expire_transcripts", "done")
    keeper.python(ENQUEUE.format(file=said))

    keeper.until_job("waits", "running")
    keeper.until_job("tells", "due")
    assert keeper.check().returncode == 0  # its rounds go on beside it
    began = time.monotonic()
    keeper.process.terminate()
    keeper.process.wait(10)
    assert time.monotonic() - began < STOP_WAIT_S
    for name in ("waits", "tells"):
        keeper.until_job(name, "due")

    (tmp_path / "go").touch()
    keeper.start()
    for name in ("waits", "tells"):
        keeper.until_job(name, "done")
    assert sorted(said.read_text().split()) == ["began", "began", "ended", "ran"]
