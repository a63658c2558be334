"""One process of the laboratory: killed, paused, ended and started again by the pid we gave it."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.livekit import ROOT

STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05


class LabProcess:
    """`is_ready` is asked while it starts; its log holds every life, `log()` the present one."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        is_ready: Callable[["LabProcess"], bool],
        cwd: Path = ROOT,
        account: int | None = None,
        ends_with: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self._command, self._environment = name, list(command), dict(environment)
        self._cwd, self._account, self._is_ready, self._ends_with = cwd, account, is_ready, ends_with
        self.log_path = directory / f"{name}.log"
        self._log_starts_at = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._is_paused = False

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def is_paused(self) -> bool:
        return self._is_paused and self.is_running

    def start(self, **environment: str) -> None:
        """A new life, unless the present one goes on; `environment` counts for this life alone."""
        if self.is_running:
            return
        self._is_paused = False
        self._log_starts_at = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._environment | environment,
                user=self._account,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = STARTS_WITHIN_S) -> float:
        """How long it took from now. Raises RuntimeError with the end of its log."""
        began = time.monotonic()
        while not self._is_ready(self):
            if not self.is_running or time.monotonic() - began > timeout_s:
                raise RuntimeError(f"{self.name} did not start: {self.log()[-2000:]}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, of this one process; its children are on their own."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(ENDS_WITHIN_S)

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        self._signal(self._ends_with)

    def wait_ended(self, timeout_s: float = ENDS_WITHIN_S) -> float:
        """How long it took from now. Raises subprocess.TimeoutExpired."""
        began = time.monotonic()
        assert self._process is not None
        self._process.wait(timeout_s)
        return time.monotonic() - began

    def stop(self) -> None:
        """Asked to end, and waited for; killed when it does not."""
        if not self.is_running:
            return
        self.resume()
        self.terminate()
        try:
            self.wait_ended()
        except subprocess.TimeoutExpired:
            self.kill()

    def pause(self) -> None:
        """SIGSTOP, of the process and its children."""
        self._is_paused = True
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """SIGCONT, likewise."""
        if not self._is_paused:
            return
        self._is_paused = False
        for process in reversed(self._tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def limit(self, what: int, soft: int, hard: int = resource.RLIM_INFINITY) -> None:
        """A limit of the module `resource`, for the process, its children and theirs to come."""
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(what, (soft, hard))

    def children(self) -> list[psutil.Process]:
        return self._tree()[1:]

    def log(self) -> str:
        """Of the present life."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(self._log_starts_at)
            return file.read().decode(errors="replace")

    def sweep(self) -> None:
        """Nothing of its group is left."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_WITHIN_S)

    def _signal(self, number: signal.Signals) -> None:
        if not self.is_running:
            raise RuntimeError(f"{self.name} does not run: {self.log()[-2000:]}")
        os.kill(self.pid, number)

    def _tree(self) -> list[psutil.Process]:
        try:
            main = psutil.Process(self.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
