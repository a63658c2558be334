"""A Redis of our own: what runs `command` can end it and start it again on the same port.

`python -m tests.support.redis COMMAND…` runs a command with CACHE_URL pointing at one.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port

STARTS_WITHIN_S = 30


class Redis:
    """Saves when it is asked to end; killed, it is empty after a restart."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    @property
    def command(self) -> tuple[str, ...]:
        found = shutil.which("redis-server")
        if found is None:
            raise RuntimeError("Redis is missing: run `make test`, which installs it or says how")
        kept = ("--save", "3600 1", "--appendonly", "no", "--dir", str(self._directory))
        return (found, "--port", str(self.port), "--bind", "127.0.0.1", *kept)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class RunningRedis:
    """`with RunningRedis(tmp) as redis:`; `stop` and `start` keep its port, `pause` lets it hang."""

    def __init__(self, directory: Path) -> None:
        self._redis, self._log = Redis(directory), directory / "redis.log"
        self.url = self._redis.url

    def __enter__(self) -> "RunningRedis":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_process"):
            self.go_on()
            self.stop()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._redis.command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._redis.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def main(command: list[str]) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="roomscribe-redis-") as directory,
        RunningRedis(Path(directory)) as redis,
    ):
        return subprocess.run(command, env={**os.environ, "CACHE_URL": redis.url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
