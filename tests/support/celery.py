"""Celery as it is run: a worker or a beat in a process of its own, on the test's own database."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


WORKER = ("worker", "--queues", "jobs,sweeps", "--concurrency", "1", "--without-gossip", "--without-mingle")
BEAT = ("beat",)


def database_of_test() -> str:
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    where = f"{settings['HOST']}:{settings['PORT']}"
    return f"postgres://{settings['USER']}:{settings['PASSWORD']}@{where}/{settings['NAME']}"


class RunningCelery:
    """`with RunningCelery(tmp, broker_url=…) as celery:`; ended by its own pid, with all it started."""

    def __init__(
        self, directory: Path, *arguments: str, broker_url: str, name: str, **environment: str
    ) -> None:
        self.log_path = directory / f"{name}.log"
        self._arguments = arguments
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_ENV": "local",
            "DATABASE_URL": database_of_test(),
            "CELERY_BROKER_URL": broker_url,
            "LIVEKIT_API_KEY": "key",
            **{
                name: f"{name.lower()}-{'x' * 40}"
                for name in (
                    "DJANGO_SECRET_KEY",
                    "INTERNAL_API_SECRET",
                    "API_KEY_ENCRYPTION_KEY",
                    "LIVEKIT_API_SECRET",
                )
            },
            **environment,
        }

    def __enter__(self) -> "RunningCelery":
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.support.celery_app", *self._arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """All of it at once, as when a machine goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")
