"""The processes of `make run`, kept alive by supervisor and ended without leaving one behind."""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.installation import ROOT, VENV_PYTHON, say
from tools.local_settings import LocalSettings

STOP_WAIT_S = 6
"""What a process gets to end by itself; then its group is killed. LiveKit would wait for people who are not there."""
DRAIN_WAIT_S = 23
"""The same for a worker, which may hand its rooms over for 12 s."""

SUPERVISOR = """\
[supervisord]
nodaemon=true
silent=true
pidfile=run/supervisord.pid
logfile=log/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1

[group:roomscribe]
programs={programs}
"""

PROGRAM = """
[program:{name}]
command=sh -c {command}
environment={environment}
autorestart=true
startsecs=1
startretries=1000000
stopwaitsecs={stop_wait_s}
killasgroup=true
redirect_stderr=true
stdout_logfile=log/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_wait_s: int = STOP_WAIT_S


def supervisor_configuration(programs: list[Program]) -> str:
    """For a supervisor whose working directory is the data directory."""
    sections = [SUPERVISOR.format(programs=",".join(program.name for program in programs))]
    for program in programs:
        environment = (f'{name}="{_escaped(value)}"' for name, value in program.environment.items())
        sections.append(
            PROGRAM.format(
                name=program.name,
                command=_escaped(shlex.quote(_shell_line(program))),
                environment=",".join(environment),
                stop_wait_s=program.stop_wait_s,
            )
        )
    return "".join(sections)


def _shell_line(program: Program) -> str:
    # `exec` makes the shell's pid the program's own, at every restart; `mv` never shows a half-written file.
    pid_file = f"run/{program.name}.pid"
    note_pid = f"echo $$ > {pid_file}.new && mv {pid_file}.new {pid_file}"
    return f"{note_pid}; cd {shlex.quote(str(ROOT))} && exec {shlex.join(program.command)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def start_supervisor(configuration: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own, where all it starts stays: Ctrl-C reaches only us, and nothing gets lost."""
    return subprocess.Popen(
        [VENV_PYTHON, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", configuration],
        cwd=configuration.parent,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def end_session(session: int) -> None:
    """Ask supervisor to stop everything, then kill what is left of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(session, signal.SIGTERM)
    _wait_for_end(session, DRAIN_WAIT_S + 1.5)
    deadline = time.monotonic() + 5
    while (left := _members(session)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _wait_for_end(pid: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if not _command_of(pid):
            return
        time.sleep(0.05)


def end_earlier_session(settings: LocalSettings, configuration: Path) -> None:
    """What a `make run` that was killed itself has left in this data directory."""
    pid_file = settings.run_dir / "supervisord.pid"
    pid = int(pid_file.read_text()) if pid_file.exists() else 0
    # The pid may be another program's by now.
    if pid and str(configuration) in _command_of(pid):
        say("Ending what an earlier run has left")
        end_session(pid)


def forget_pids(settings: LocalSettings) -> None:
    for pid_file in settings.run_dir.glob("*.pid*"):
        pid_file.unlink(missing_ok=True)


def _members(session: int) -> list[int]:
    """Pids of the processes that belong to a session, dead ones not counted."""
    members = []
    for pid in _all_pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session and _command_of(pid):
                members.append(pid)
    return members


def _all_pids() -> list[int]:
    # Not every Linux has `ps`; everything else has.
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    listing = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(pid) for pid in listing.stdout.split()]


def _command_of(pid: int) -> str:
    """Empty when there is no such process, or a dead one."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listing = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "" if listing.stdout.startswith("Z") else listing.stdout
