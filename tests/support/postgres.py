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


class RunningPostgres:
    """`with RunningPostgres() as database_url:`"""

    def __enter__(self) -> str:
        self._directory = Path(tempfile.mkdtemp(prefix="roomscribe-postgres-"))
        self._account = _account()
        if self._account is not None:
            os.chown(self._directory, self._account, -1)
        port = free_port()
        try:
            self._initialise()
            self._start(port)
        except BaseException:
            self.__exit__()
            raise
        return f"postgres://roomscribe@127.0.0.1:{port}/postgres"

    def _initialise(self) -> None:
        options = ("-U", "roomscribe", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        command = [_binary("initdb"), "-D", "cluster", *options]
        subprocess.run(command, user=self._account, cwd=self._directory, check=True, capture_output=True)

    def _start(self, port: int) -> None:
        # Nothing here outlives the tests, so nothing has to survive a power cut.
        careless = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
        where = ("-h", "127.0.0.1", "-p", str(port), "-k", str(self._directory))
        self._log = (self._directory / "postgres.log").open("wb")
        self._process = subprocess.Popen(
            [_binary("postgres"), "-D", "cluster", *where, *careless],
            user=self._account,
            cwd=self._directory,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._wait_until_ready(port)

    def _wait_until_ready(self, port: int) -> None:
        ask = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + STARTS_WITHIN_S
        while subprocess.run(ask, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"PostgreSQL did not start: {(self._directory / 'postgres.log').read_text()}"
                )
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        if process := getattr(self, "_process", None):
            process.send_signal(signal.SIGINT)  # its fast shutdown: connections are cut
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)


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
