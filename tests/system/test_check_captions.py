"""`manage.py check_captions`: green on a line that works, red and in words where it does not, and never litter."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from livekit import api

from tests.backend.running_backend import RunningBackend
from tests.support.clips import SAMPLES
from tests.support.livekit import ROOT, LiveKitServer
from tests.support.stack import RunningStack
from tools.local_settings import local_settings, process_environment

COMMAND = (sys.executable, "src/backend/manage.py", "check_captions")


def check(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*COMMAND, *arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def of_stack(stack: RunningStack) -> dict[str, str]:
    return process_environment(local_settings(stack.environment), stack.environment)


def rooms(server: LiveKitServer) -> list[str]:
    async def listed() -> list[str]:
        async with server.api() as livekit:
            return [room.name for room in (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms]

    return [name for name in asyncio.run(listed()) if name.startswith("check-")]


def sessions(environment: Mapping[str, str]) -> dict[str, int]:
    """How many sessions of checks there are, and how many of them have not ended."""
    script = (
        "import json; from backend.leases.models import Session; "
        "checks = Session.objects.filter(room__startswith='check-'); "
        "print(json.dumps({'all': checks.count(), 'active': checks.filter(ended_at=None).count()}))"
    )
    shell = (sys.executable, "src/backend/manage.py", "shell", "--no-imports", "-c", script)
    said = subprocess.run(shell, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    counted: dict[str, int] = json.loads(said)
    return counted


def test_a_line_that_works_passes_and_says_how_long_each_step_took(stack: RunningStack) -> None:
    done = check(of_stack(stack))

    assert (done.returncode, done.stderr) == (0, "")
    steps = r"ok: room S, joined S, started S, (live S, )?caption S, stopped S, cleaned S\n"
    assert re.fullmatch(steps.replace("S", r"\d+\.\d\d s"), done.stdout), done.stdout
    assert rooms(stack.livekit) == []
    assert sessions(of_stack(stack)) == {"all": 1, "active": 0}


class TestWithoutWorkers:
    @pytest.fixture
    def environment(self, livekit_server: LiveKitServer, tmp_path: Path) -> Any:
        with RunningBackend(tmp_path, livekit_server) as backend:
            yield {
                **backend.environment,
                "LOG_LEVEL": "INFO",
                "BACKEND_URL": backend.url,
                "DJANGO_SETTINGS_MODULE": "backend.config.settings",
            }

    def test_no_worker_is_named_in_time_and_nothing_is_left(
        self, environment: dict[str, str], livekit_server: LiveKitServer
    ) -> None:
        began_s = time.monotonic()
        done = check(environment, "--timeout", "3", "--clip", str(SAMPLES / "slt.wav"))

        assert time.monotonic() - began_s < 15
        assert done.returncode == 1
        assert re.match(r"CommandError: no_worker: room \S+ s, joined \S+ s, started ", done.stderr)
        assert rooms(livekit_server) == []
        assert sessions(environment) == {"all": 1, "active": 0}

    def test_one_that_is_told_to_end_leaves_nothing_either(
        self, environment: dict[str, str], livekit_server: LiveKitServer
    ) -> None:
        command = (*COMMAND, "--clip", str(SAMPLES / "slt.wav"))
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        ) as running:
            deadline = time.monotonic() + 30
            while not sessions(environment)["active"] and time.monotonic() < deadline:
                assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            _, said = running.communicate(timeout=15)

        assert (running.returncode, said) == (1, "CommandError: interrupted\n")
        assert rooms(livekit_server) == []
        assert sessions(environment) == {"all": 1, "active": 0}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"BACKEND_URL": "http://127.0.0.1:9"}, "backend_down"),
            ({"LIVEKIT_URL": "ws://127.0.0.1:9"}, "livekit_down"),
            ({"LIVEKIT_API_KEY": "unknown"}, "livekit_down"),
        ],
    )
    def test_what_is_away_is_named(
        self,
        environment: dict[str, str],
        livekit_server: LiveKitServer,
        changes: dict[str, str],
        reason: str,
    ) -> None:
        done = check({**environment, **changes}, "--timeout", "3", "--clip", str(SAMPLES / "slt.wav"))

        assert done.returncode == 1
        assert done.stderr.startswith(f"CommandError: {reason}: ")
        assert rooms(livekit_server) == []

    def test_a_clip_that_is_none_is_named(self, environment: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "noise.wav").write_bytes(os.urandom(100))

        for clip in ("noise.wav", "absent.wav"):
            done = check(environment, "--clip", str(tmp_path / clip))
            assert (done.returncode, done.stderr[:21]) == (1, "CommandError: no_clip")
