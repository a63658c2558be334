"""`make run` as a person meets it. The tests share one stack, started again where one has ended it."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from livekit import api

from tests.support.livekit import ROOT
from tests.support.stack import RunningStack

PROGRAMS = {
    "livekit": "livekit-server",
    "backend": "uvicorn",
    "keeper": "manage.py",
    "speech": "speech",
    "subtitles": "agents.workers.transcriber",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("stack") / "data dir") as stack:
        yield stack


@pytest.fixture
def stack(shared: RunningStack) -> RunningStack:
    return shared if shared.process.poll() is None else shared.__enter__()


def eventually(condition: Callable[[], object], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def members(session: int) -> list[psutil.Process]:
    """What lives in the session of the process manager, which nothing it starts ever leaves."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def second_make_run(stack: RunningStack, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "run"],
        cwd=ROOT,
        env=stack.environment | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_it_says_where_the_page_and_the_admin_are(stack: RunningStack) -> None:
    eventually(lambda: "Ready" in stack.output(), within_s=30)

    assert f"{stack.base_url}/\n" in stack.output()
    assert f"{stack.base_url}/admin/" in stack.output()


def test_pids_are_those_of_the_processes_themselves(stack: RunningStack) -> None:
    for name, word in PROGRAMS.items():
        command = psutil.Process(stack.pid(name)).cmdline()
        assert "sh" not in os.path.basename(command[0]), command
        assert any(word in part for part in command), command


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_that_dies_is_started_again(stack: RunningStack, name: str) -> None:
    before = stack.pid(name)

    os.kill(before, signal.SIGKILL)

    eventually(lambda: stack.pid(name) != before and psutil.pid_exists(stack.pid(name)), within_s=10)


def test_everything_works_again_after_every_process_has_died(stack: RunningStack) -> None:
    eventually(stack.is_ready, within_s=60)


def test_a_busy_port_is_named_with_what_changes_it(stack: RunningStack) -> None:
    second = second_make_run(stack, ROOMSCRIBE_DATA_DIR=f"{stack.data_dir} 2")

    assert second.returncode != 0
    assert f"port {stack.backend_port} is busy: set BACKEND_PORT" in second.stderr
    assert f"port {stack.speech_port} is busy: set SPEECH_PORT" in second.stderr
    assert f"port {stack.livekit.port}, " in second.stderr and "set LIVEKIT_PORT" in second.stderr
    # The test before has killed every process, and the dead worker counts as live for 3 s more.
    eventually(stack.is_ready, within_s=60)


def test_a_data_directory_in_use_is_refused(stack: RunningStack) -> None:
    pids = [stack.pid(name) for name in PROGRAMS]

    second = second_make_run(stack, BACKEND_PORT="1", LIVEKIT_PORT="2", SPEECH_PORT="5")

    assert second.returncode != 0
    assert str(stack.data_dir) in second.stderr and "ROOMSCRIBE_DATA_DIR" in second.stderr
    assert [stack.pid(name) for name in PROGRAMS] == pids


def test_keys_are_long_private_and_all_different(stack: RunningStack) -> None:
    keys = json.loads((stack.data_dir / "keys.json").read_text())
    secrets = [value for name, value in keys.items() if name != "LIVEKIT_API_KEY"]

    assert all(len(value) >= 43 for value in secrets)  # 32 bytes in base64
    assert len(set(secrets)) == len(secrets)
    for name in ("keys.json", "livekit.json"):
        assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600


def test_secrets_are_neither_in_logs_nor_on_command_lines(stack: RunningStack) -> None:
    keys = json.loads((stack.data_dir / "keys.json").read_text())
    secrets = {*keys.values(), stack.livekit.api_secret}
    said = [path.read_text(errors="replace") for path in (stack.data_dir / "log").iterdir()]
    said += [" ".join(psutil.Process(stack.pid(name)).cmdline()) for name in PROGRAMS]

    assert not [secret for secret in secrets for text in [*said, stack.output()] if secret in text]


async def test_livekits_keys_from_the_environment_win(stack: RunningStack) -> None:
    async with stack.livekit.api() as livekit:
        await livekit.room.list_rooms(api.ListRoomsRequest())


def test_make_admin_creates_the_first_user(stack: RunningStack) -> None:
    account = {
        "DJANGO_SUPERUSER_USERNAME": "grace",
        "DJANGO_SUPERUSER_EMAIL": "grace@example.org",
        "DJANGO_SUPERUSER_PASSWORD": "a password of some length",
    }

    subprocess.run(["make", "admin"], cwd=ROOT, env=stack.environment | account, check=True, timeout=60)

    with sqlite3.connect(stack.data_dir / "db.sqlite3") as database:
        assert database.execute("SELECT username, is_superuser FROM auth_user").fetchall() == [("grace", 1)]


def test_ctrl_c_ends_everything(stack: RunningStack) -> None:
    session = stack.pid("supervisord")
    assert len(members(session)) > len(PROGRAMS)

    stack.interrupt()
    stack.process.wait(10)

    assert members(session) == []
    assert list((stack.data_dir / "run").iterdir()) == []


def test_what_a_killed_run_left_is_no_obstacle_to_the_next(stack: RunningStack) -> None:
    session = stack.pid("supervisord")
    os.killpg(stack.process.pid, signal.SIGKILL)
    stack.process.wait()

    with_the_same_ports_and_data = stack.__enter__()

    assert with_the_same_ports_and_data.pid("supervisord") != session
    assert members(session) == []


def test_sigterm_to_make_ends_everything(stack: RunningStack) -> None:
    session = stack.pid("supervisord")

    stack.process.terminate()
    stack.process.wait(10)

    assert members(session) == []
    assert list((stack.data_dir / "run").iterdir()) == []
