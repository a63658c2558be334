"""What was erased is nowhere: not in a file of the data directory, not in a row, not in Redis, not in a log."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
import redis as redis_client

from tests.backend.running_backend import ROOT, RunningBackend
from tests.support.livekit import LiveKitServer

WORDS = ("xylotomous", "quincunxial", "zugzwang")
"""Which nothing else here says, nor in this order."""
NAME = "Wilhelmina Zzyzx"
GONE_WITHIN_S = 30

WRITE = f"""
import django; django.setup()
from django.contrib.auth.models import User
from backend.meetings.models import Meeting
from tests.backend.kept import kept_meeting, say
User.objects.create_superuser("admin", password="admin")
meeting, other = kept_meeting(), kept_meeting()
needle = "{" ".join(WORDS)}"
for number in range(400):
    # Among what stays, and longer than a page of the file, and as short as they come.
    say(other, "bob", f"what is said elsewhere, number {{number}}, stays where it is")
    if number % 8 == 0:
        line = say(meeting, "{NAME}", f"{{number}} {{needle}}", corrected_from=f"{{needle}} before {{number}}")
        line.text = f"{{needle}} after {{number}}" * (200 if number % 40 == 0 else 1)
        line.save()
        posted = {{"speaker_identity": "{NAME}", "text": needle}}
        meeting.posted.create(number=number, segment=posted)
print(meeting.pk)
"""


class Deployment:
    """A backend and a keeper over one data directory."""

    def __init__(self, directory: Path, backend: RunningBackend) -> None:
        self.directory, self.backend = directory, backend

    def write(self) -> str:
        """The id of the meeting that the needle is in."""
        done = subprocess.run(
            [sys.executable, "-c", WRITE],
            env={
                **self.backend.environment,
                "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
                "DJANGO_SETTINGS_MODULE": "backend.config.settings",
            },
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()[-1]

    def held(self) -> Iterator[tuple[str, bytes]]:
        """All that is kept anywhere, with where it is."""
        for path in sorted(self.directory.rglob("*")):
            if path.is_file():
                yield str(path.name), path.read_bytes()
        address = self.backend.environment["DATABASE_URL"]
        if address.startswith("postgres"):
            yield from rows_of(address)
        cache = self.backend.environment["CACHE_URL"]
        if cache.startswith("redis"):
            with redis_client.Redis.from_url(cache) as client:
                for key in client.scan_iter():
                    yield "redis", key + (client.dump(key) or b"")

    def needles(self) -> list[str]:
        sought = [word.encode(encoding) for word in (*WORDS, NAME) for encoding in ("utf-8", "utf-16-le")]
        return sorted({where for where, held in self.held() if any(each in held for each in sought)})


def rows_of(address: str) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(address) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm') OR relname = 'pg_stats'"
        )
        for (table,) in tables.fetchall():
            for (row,) in connection.execute(f"SELECT t::text FROM {table} t"):
                yield table, row.encode()


def deleted_by_admin(backend: RunningBackend, path: str) -> httpx.Response:
    """By somebody signed in to the admin, over real HTTP."""
    with httpx.Client(base_url=backend.url, timeout=20) as client:
        client.get("/admin/login/")
        form = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        client.post("/admin/login/", data=form)
        return client.delete(f"/api/v1.0/{path}", headers={"X-CSRFToken": client.cookies["csrftoken"]})


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    nobody = LiveKitServer(port=9, api_key="testkey", api_secret="test-secret-" + "x" * 32)
    with ExitStack() as running:
        backend = running.enter_context(RunningBackend(tmp_path, nobody, LOG_LEVEL="DEBUG"))
        log = running.enter_context((tmp_path / "keeper.log").open("wb"))
        keeper = subprocess.Popen(
            [sys.executable, str(ROOT / "src/backend/manage.py"), "keeper"],
            env={**backend.environment, "BACKEND_URL": backend.url},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        running.callback(keeper.wait)
        running.callback(keeper.terminate)
        yield Deployment(tmp_path, backend)


def test_a_needle_that_was_kept_corrected_and_posted_is_nowhere_after_it_was_erased(
    deployment: Deployment,
) -> None:
    meeting = deployment.write()
    assert deployment.needles()  # else nothing could be found

    answer = deleted_by_admin(deployment.backend, f"transcripts/{meeting}/")
    assert answer.status_code == 200, answer.text
    assert answer.json()["erased"]["segments"] == 50
    assert answer.elapsed.total_seconds() < 1
    deadline = time.monotonic() + GONE_WITHIN_S
    while found := deployment.needles():
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert "request failed" not in deployment.backend.log()
