"""The backend as it is run: uvicorn in a process of its own, on a database of its own, its log in a file."""

import contextlib
import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import DuplicateDatabase

from tests.support.livekit import LiveKitServer
from tests.support.ports import free_ports_in_a_row

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN_S = 60


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`status` 0: the server hung up instead of answering."""

    status: int
    text: str
    took_s: float
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.text)


def database_url(directory: Path) -> str:
    """A database for this directory: in the PostgreSQL this run of the tests has, or a file."""
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        return f"sqlite:///{directory / 'backend.sqlite3'}"
    name = f"roomscribe_{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}"
    with psycopg.connect(server, autocommit=True) as connection, contextlib.suppress(DuplicateDatabase):
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server.rpartition('/')[0]}/{name}"


class RunningBackend:
    """`with RunningBackend(tmp, livekit) as backend:`; ended by its own pid."""

    def __init__(self, directory: Path, livekit: LiveKitServer, **environment: str) -> None:
        self.livekit, self.port = livekit, free_ports_in_a_row(1)
        self.log_path = directory / "backend.log"
        self.secrets = {
            name: f"{name.lower()}-{'x' * 40}"
            for name in ("DJANGO_SECRET_KEY", "INTERNAL_API_SECRET", "API_KEY_ENCRYPTION_KEY")
        } | {"LIVEKIT_API_SECRET": livekit.api_secret}
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_ENV": "local",
            "DATABASE_URL": database_url(directory),
            "CACHE_URL": os.environ.get("CACHE_URL", "locmemcache://"),
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": livekit.api_key,
            "LOG_LEVEL": "DEBUG",
            **self.secrets,
            **environment,
        }

    def __enter__(self) -> "RunningBackend":
        manage = [sys.executable, str(ROOT / "src/backend/manage.py"), "migrate", "--verbosity", "0"]
        subprocess.run(manage, env=self.environment, cwd=ROOT, check=True, timeout=STARTS_WITHIN_S)
        self._log = self.log_path.open("wb")
        command = [sys.executable, "-m", "uvicorn", "backend.config.asgi:application", "--no-access-log"]
        self._process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(self.port)],
            env=self.environment,
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if self.request("GET", "/healthz").status == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"the backend did not start: {self.log()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def request(
        self,
        method: str,
        target: str,
        *,
        authorization: list[str] | None = None,
        body: bytes | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """One request, sent as it is: no header is folded, no path normalised."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        started = time.perf_counter()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in [("Content-Type", "application/json"), *(headers or [])]:
                connection.putheader(name, value.encode())
            for value in authorization or []:
                connection.putheader("Authorization", value.encode())
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            status, answer_headers = answer.status, {k.lower(): v for k, v in answer.getheaders()}
        except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
            status, text, answer_headers = 0, "", {}
        finally:
            connection.close()
        return Answer(status=status, text=text, took_s=time.perf_counter() - started, headers=answer_headers)
