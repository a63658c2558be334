"""`make run`: install, prepare, start everything, say when it is ready, end everything. Also `make admin`."""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tools import installation
from tools.installation import ROOT, VENV_PYTHON, CannotInstall, say
from tools.local_settings import (
    LocalSettings,
    NotPossible,
    busy_ports,
    livekit_configuration,
    local_settings,
    process_environment,
    write_privately,
)
from tools.supervision import (
    DRAIN_WAIT_S,
    STOP_WAIT_S,
    Program,
    end_earlier_session,
    end_session,
    forget_pids,
    start_supervisor,
    supervisor_configuration,
)

POLL_S = 0.2
LATE_AFTER_S = 60


def run(environment: Mapping[str, str]) -> int:
    settings = local_settings(environment)
    with data_directory(settings):
        with installation.installing():
            installation.install_python_packages("run")
            livekit = installation.install_livekit() if settings.starts_livekit else None
            installation.build_page()
        everywhere = process_environment(settings, environment)
        migrate(settings, everywhere)
        if livekit:
            write_privately(settings.livekit_config, livekit_configuration(settings, everywhere))
        programs = programs_of(settings, livekit)
        configuration = settings.data_dir / "supervisord.conf"
        configuration.write_text(supervisor_configuration(programs))

        say(f"Starting {', '.join(program.name for program in programs)}")
        supervisor = start_supervisor(configuration, everywhere)
        try:
            return watch(settings, supervisor)
        finally:
            # From here to the end a second Ctrl-C must not leave anything running.
            for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(ending, signal.SIG_IGN)
            end_session(supervisor.pid)
            forget_pids(settings)


def admin(environment: Mapping[str, str]) -> int:
    settings = local_settings(environment)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with installation.installing():
        installation.install_python_packages("run")
    everywhere = process_environment(settings, environment)
    migrate(settings, everywhere)
    unasked = ["--noinput"] if environment.get("DJANGO_SUPERUSER_PASSWORD") else []
    command = manage("createsuperuser", *unasked)
    os.chdir(ROOT)
    os.execve(command[0], command, everywhere)


@contextmanager
def data_directory(settings: LocalSettings) -> Iterator[None]:
    """Ours alone, with everything an earlier run left behind ended; refused before anything is touched."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.data_dir / "lock").open("a+") as lock:
        problems = []
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            problems.append(
                f"another `make run` (pid {lock.read().strip()}) uses {settings.data_dir}: "
                "end it, or set ROOMSCRIBE_DATA_DIR to another directory"
            )
        else:
            end_earlier_session(settings, settings.data_dir / "supervisord.conf")
        if problems := busy_ports(settings) + problems:
            raise NotPossible("\n  ".join(["Cannot start:", *problems]))
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        settings.run_dir.mkdir(exist_ok=True)
        settings.log_dir.mkdir(exist_ok=True)
        forget_pids(settings)
        yield


def manage(*arguments: str) -> list[str]:
    return [str(VENV_PYTHON), str(ROOT / "src/backend/manage.py"), *arguments]


def migrate(settings: LocalSettings, environment: Mapping[str, str]) -> None:
    """Starting Django for nothing would cost a second and a half of every start."""
    files = [ROOT / "requirements/run.txt", *sorted((ROOT / "src/backend").glob("**/migrations/*.py"))]
    digest = hashlib.sha256(environment["DATABASE_URL"].encode())
    for file in files:
        digest.update(file.read_bytes())
    stamp = settings.data_dir / "migrated"
    is_ours = environment["DATABASE_URL"].endswith(str(settings.database))
    if is_ours and settings.database.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    say("Preparing the database")
    done = subprocess.run(manage("migrate", "--verbosity=0"), cwd=ROOT, env=dict(environment), check=False)
    if done.returncode:
        raise NotPossible("The database could not be prepared: see above")
    stamp.write_text(digest.hexdigest())


def programs_of(settings: LocalSettings, livekit: Path | None) -> list[Program]:
    def python(name: str, *arguments: str, stop_wait_s: int = STOP_WAIT_S, **environment: str) -> Program:
        command = (str(VENV_PYTHON), *arguments)
        return Program(name=name, command=command, environment=environment, stop_wait_s=stop_wait_s)

    serve = ("-m", "uvicorn", "backend.config.asgi:application", "--no-access-log")
    here = ("--host", "127.0.0.1", "--port", str(settings.backend_port), "--timeout-graceful-shutdown", "2")
    programs = [
        python("backend", *serve, *here),
        python("keeper", "src/backend/manage.py", "keeper"),
        python("speech", "-m", "speech"),
        *(
            python(
                name,
                "-m",
                "agents.workers.transcriber",
                stop_wait_s=DRAIN_WAIT_S,
                WORKER_NAME=name,
                WORKER_METRICS_PORT=str(settings.worker_metrics_port and settings.worker_metrics_port + at),
            )
            for at, name in enumerate(settings.subtitles_names)
        ),
    ]
    if livekit:
        # Nothing but its file configures it: it would take settings from variables called LIVEKIT_… as well.
        bare = (shutil.which("env") or "/usr/bin/env", "-i")
        command = (*bare, str(livekit), "--config", str(settings.livekit_config))
        programs.insert(0, Program(name="livekit", command=command))
    return programs


def watch(settings: LocalSettings, supervisor: "subprocess.Popen[bytes]") -> int:
    """Until it is interrupted. Waiting and late processes are named."""
    started = time.monotonic()
    told: list[str] | None = None
    is_late = False
    while waiting := not_healthy(settings):
        if waiting != told:
            say(f"Waiting for {', '.join(waiting)}")
            told = waiting
        if not is_late and time.monotonic() - started > LATE_AFTER_S:
            is_late = True
            for name in waiting:
                say(f"{name} is not up after {LATE_AFTER_S} s. Its log: {settings.log_dir / name}.log")
        if supervisor.poll() is not None:
            return ended_by_itself(settings)
        time.sleep(POLL_S)
    say(f"Ready in {time.monotonic() - started:.0f} s. Ctrl-C ends everything.")
    say(f"  page   {settings.backend_url}/")
    say(f"  admin  {settings.backend_url}/admin/ (`make admin` creates its first user)")
    say(f"  logs   {settings.log_dir}")
    supervisor.wait()
    return ended_by_itself(settings)


def ended_by_itself(settings: LocalSettings) -> int:
    print(f"The process manager ended by itself: see {settings.log_dir / 'supervisord.log'}", file=sys.stderr)
    return 1


def not_healthy(settings: LocalSettings) -> list[str]:
    waiting = []
    if settings.starts_livekit and not answers(settings.livekit_url.replace("ws://", "http://")):
        waiting.append("livekit")
    if not answers(f"{settings.backend_url}/healthz"):
        waiting.append("backend")
    if not answers(f"{settings.speech_url}/health"):
        waiting.append("speech")
    # The backend's readiness covers its database, LiveKit and live workers.
    if not waiting and not answers(f"{settings.backend_url}/readyz"):
        waiting.extend(settings.subtitles_names)
    return waiting


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    # SIGINT too: a shell script's `make run &` starts with it ignored.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, interrupted)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, interrupted)
    try:
        return {"run": run, "admin": admin}[arguments[0]](os.environ)
    except (CannotInstall, NotPossible) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("Ended")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
