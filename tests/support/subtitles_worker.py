"""A real subtitles worker, as a process of its own."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.support.backend_double import SECRET
from tests.support.livekit import ROOT, LiveKitServer

STARTS_WITHIN_S = 30


class RunningWorker:
    """`with RunningWorker(...) as worker:`; ended by its own pid, with all it started."""

    def __init__(
        self,
        directory: Path,
        *,
        livekit: LiveKitServer,
        backend_url: str,
        speech_url: str,
        name: str,
        waits_for: str = "worker registered",
        **settings: str,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.agent_name, self.name, self._waits_for = f"test-{name}", name, waits_for
        self._log, self.spool = directory / f"{name}.log", directory / "spool"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "SPEECH_", "WORKER_"))},
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_ENV": "production",
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": livekit.api_key,
            "LIVEKIT_API_SECRET": livekit.api_secret,
            "INTERNAL_API_SECRET": SECRET,
            "BACKEND_URL": backend_url,
            "SPEECH_URL": speech_url,
            "WORKER_NAME": name,
            "ROOM_SUBTITLE_AGENT_NAME": self.agent_name,
            "TRANSCRIPT_SPOOL_DIR": str(directory / "spool"),
            **settings,
        }

    def __enter__(self) -> "RunningWorker":
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents.workers.transcriber"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while self._waits_for not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the worker did not start: {self.log()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        family = self.family()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    async def until_logged(self, sentence: str, *, times: int = 1, timeout_s: float = 10) -> None:
        """Until a sentence was logged so often."""

        def wait() -> None:
            deadline = time.monotonic() + timeout_s
            while self.log().count(sentence) < times:
                if time.monotonic() > deadline:
                    raise TimeoutError(sentence)
                time.sleep(0.05)

        await asyncio.to_thread(wait)

    def family(self) -> list[psutil.Process]:
        """The main process' descendants, alive now."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def jobs(self) -> list[psutil.Process]:
        """Job processes that have a room."""
        pids = {int(pid) for pid in re.findall(r"pipeline started .*?\bpid=(\d+)", self.log())}
        return [process for process in self.family() if process.pid in pids]

    def terminate(self) -> float:
        """SIGTERM; how many seconds until the process has ended."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - started


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie does not."""
    return [
        process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
