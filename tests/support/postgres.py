"""A PostgreSQL of our own: a temporary cluster on a free port, ended by its own pid.

`python -m tests.support.postgres COMMAND…` runs a command with DATABASE_URL pointing at one.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port

STARTS_WITHIN_S = 30
SHUTDOWN = signal.SIGINT
"""Its fast one: connections are cut."""

CONFIGURATION = """
# Nothing here outlives the tests, so nothing has to survive a power cut; a SIGKILL, what was committed survives.
fsync = off
full_page_writes = off
track_commit_timestamp = on
"""
"""In the file, so that ALTER SYSTEM may say otherwise."""


class Cluster:
    """A PostgreSQL's data and port; whoever runs `command` as `account` in `directory` may end it and run it again."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="roomscribe-postgres-"))
        self.account = _account()
        self.port = free_port()
        try:
            if self.account is not None:
                os.chown(self.directory, self.account, -1)
            self._initialise()
        except BaseException:
            self.remove()
            raise

    @property
    def database_url(self) -> str:
        return f"postgres://roomscribe@127.0.0.1:{self.port}/postgres"

    @property
    def command(self) -> tuple[str, ...]:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory))
        return (_binary("postgres"), "-D", "cluster", *where)

    def is_ready(self) -> bool:
        ask = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initialise(self) -> None:
        options = ("-U", "roomscribe", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        command = [_binary("initdb"), "-D", "cluster", *options]
        subprocess.run(command, user=self.account, cwd=self.directory, check=True, capture_output=True)
        with (self.directory / "cluster/postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)


class RunningPostgres:
    """`with RunningPostgres() as database_url:`; `stop` and `start` keep its port and its data."""

    def __enter__(self) -> str:
        self._cluster = Cluster()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self._cluster.database_url

    def start(self) -> None:
        log_path = self._cluster.directory / "postgres.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._cluster.command,
                user=self._cluster.account,
                cwd=self._cluster.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._cluster.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log_path.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(SHUTDOWN)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_process"):
            self.stop()
        self._cluster.remove()


def _account() -> int | None:
    """PostgreSQL refuses to run as root; None: as whoever we are."""
    return pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None


def _binary(name: str) -> str:
    # Debian keeps them off PATH, a folder for each version.
    of_debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = shutil.which(name) or (str(of_debian[-1]) if of_debian else None)
    if found is None:
        raise RuntimeError("PostgreSQL is missing: run `make test`, which installs it or says how")
    return found


def main(command: list[str]) -> int:
    with RunningPostgres() as database_url:
        return subprocess.run(
            command, env={**os.environ, "DATABASE_URL": database_url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
