"""All of Roomscribe, started and ended the way a person does it: `make run` and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.livekit import ROOT, LiveKitServer
from tests.support.ports import free_ports_in_a_row
from tools.local_settings import local_settings, process_environment

STARTS_WITHIN_S = 90
ENDS_WITHIN_S = 30


class RunningStack:
    """`with RunningStack(tmp) as stack:`; on free ports, in a data directory of its own, ended with all it started.

    `environment` is what the caller of `make run` would have set. The output is in `stack.output()`.
    """

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.backend_port = free_ports_in_a_row(5)
        self.speech_port, livekit_port = self.backend_port + 1, self.backend_port + 2
        self.livekit = LiveKitServer(
            port=livekit_port, api_key="stackkey", api_secret="stack-secret-" + "x" * 32
        )
        ours = (
            "DJANGO_",
            "LIVEKIT_",
            "DATABASE_",
            "BACKEND_",
            "SPEECH_",
            "SUBTITLES_",
            "STT_",
            "ENGINE_",
            "MAKE",
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "ROOMSCRIBE_DATA_DIR": str(data_dir),
            "BACKEND_PORT": str(self.backend_port),
            "LIVEKIT_PORT": str(livekit_port),
            "SPEECH_PORT": str(self.speech_port),
            "LIVEKIT_API_KEY": self.livekit.api_key,
            "LIVEKIT_API_SECRET": self.livekit.api_secret,
            **environment,
        }

    def __enter__(self) -> "RunningStack":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "make-run.out").open("wb") as output:
            # As in a terminal, make and what it runs are one process group.
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = time.monotonic()
        # What is ready may be an earlier stack on the same ports, still ending.
        while not ("Ready in" in self.output() and self.is_ready()):
            late = time.monotonic() - started > STARTS_WITHIN_S
            if late or self.process.poll() is not None:
                self.__exit__()
                raise RuntimeError(f"`make run` {'is not ready' if late else 'ended'}: {self.output()}")
            time.sleep(0.1)
        self.ready_after_s = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    @property
    def base_url(self) -> str:
        """Of the page and the API, without a slash at the end."""
        return f"http://127.0.0.1:{self.backend_port}"

    @property
    def speech_url(self) -> str:
        return f"http://127.0.0.1:{self.speech_port}"

    def subtitles(self, method: str, room: str, *, as_who: str = "ada") -> dict[str, Any]:
        """Ask the API about a room's subtitles; the body of the answer. Raises HTTPError for a refusal."""
        body = {} if method == "POST" else None
        return self.ask(method, f"rooms/{room}/subtitles/", token=self.livekit.token(room, as_who), body=body)

    def ask(
        self, method: str, path: str, *, token: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """The body of the API's answer. Raises HTTPError for a refusal."""
        wanted = urllib.request.Request(
            f"{self.base_url}/api/v1.0/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(wanted, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def manage(self, *arguments: str, given: str = "") -> str:
        """`manage.py` in the backend's environment; what it says. Raises CalledProcessError."""
        return subprocess.run(
            [sys.executable, "src/backend/manage.py", *arguments],
            cwd=ROOT,
            env=process_environment(local_settings(self.environment), self.environment),
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=2) as answer:
                is_ready = bool(json.load(answer)["ready"])
            # The backend does not ask for speech: the engine may be another.
            urllib.request.urlopen(f"{self.speech_url}/health", timeout=2).close()
            return is_ready
        except OSError:
            return False

    def interrupt(self) -> None:
        """Ctrl-C."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)

    def pid(self, name: str) -> int:
        """Of the process itself; raises FileNotFoundError for one that does not run."""
        return int((self.data_dir / f"run/{name}.pid").read_text())

    def log(self, name: str) -> str:
        return (self.data_dir / f"log/{name}.log").read_text(errors="replace")

    def output(self) -> str:
        return (self.data_dir / "make-run.out").read_text(errors="replace")
