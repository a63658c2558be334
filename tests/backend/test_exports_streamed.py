"""Exports of the backend as it is run: they begin at once, come as fast as they can, and are never in memory whole."""

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.running_backend import ROOT, RunningBackend
from tests.support.livekit import LiveKitServer

LINES = 10_000
MOST_MORE_KB = 20_000
LEAST_BYTES_A_CPU_S = 5_000_000
"""Half of what is promised of a core that has nothing else to do."""

MAKE_TRANSCRIPT = f"""
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
from tests.backend.exported import keep, kept_meeting
meeting, short = kept_meeting("large", "RM_1"), kept_meeting("short", "RM_2")
keep(short, ["Je ne sais pas. 今日は"])
keep(meeting, ["%05d " % number + "all that somebody says, " * 80 for number in range({LINES})])
client = Client()
client.force_login(User.objects.create_superuser("root"))
print(meeting.pk, short.pk, client.cookies["sessionid"].value)
"""


@pytest.fixture(scope="module")
def backend(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBackend]:
    with RunningBackend(tmp_path_factory.mktemp("backend"), livekit_server) as running:
        yield running


@pytest.fixture(scope="module")
def transcripts(backend: RunningBackend) -> tuple[str, str, str]:
    """Ids of a large one and of a short one, and a session that may see them."""
    made = subprocess.run(
        [sys.executable, "-c", MAKE_TRANSCRIPT],
        env={
            **backend.environment,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "DJANGO_SETTINGS_MODULE": "backend.config.settings",
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    large, short, session = made.stdout.split()
    return large, short, session


class Fetched:
    """One export, read as it comes."""

    def __init__(self, backend: RunningBackend, transcript: str, format: str, session: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=60)
        began_s = time.perf_counter()
        connection.request(
            "GET",
            f"/api/v1.0/transcripts/{transcript}/export/?format={format}",
            headers={"Cookie": f"sessionid={session}"},
        )
        answer = connection.getresponse()
        assert answer.status == 200
        first = answer.read1(1 << 16)
        self.began_after_s = time.perf_counter() - began_s
        size, last = len(first), b""
        while chunk := answer.read(1 << 16):
            size, last = size + len(chunk), chunk
        self.size, self.tail = size, last.decode(errors="ignore")
        connection.close()


@pytest.mark.parametrize("format", ["vtt", "srt", "txt", "json"])
def test_a_large_transcript_streams_without_being_in_memory(
    backend: RunningBackend, transcripts: tuple[str, str, str], format: str
) -> None:
    large, short, session = transcripts
    Fetched(backend, short, format, session)  # whatever is made once in a process has been made
    before_kb = memory_kb(backend.pid, "VmRSS")
    Path(f"/proc/{backend.pid}/clear_refs").write_text("5")  # the peak is counted from here
    before_s = cpu_s(backend.pid)

    fetched = Fetched(backend, large, format, session)

    assert re.search(f"all that somebody says,[^a-z]*$|{LINES - 1:05}", fetched.tail)
    assert fetched.size > LINES * 1_800
    assert fetched.began_after_s < 1
    assert memory_kb(backend.pid, "VmHWM") - before_kb < MOST_MORE_KB
    assert fetched.size / (cpu_s(backend.pid) - before_s) > LEAST_BYTES_A_CPU_S


def cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, flags=re.MULTILINE)[1])  # type: ignore[index]
