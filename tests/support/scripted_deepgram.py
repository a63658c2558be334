"""An engine that speaks Deepgram's live protocol and hears marked words; a process of its own, run by script.

`python -m tests.support.scripted_deepgram --port 9401` by hand; `with ScriptedDeepgram() as engine:` in tests.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.deepgram.script import Seen
from tests.support.deepgram.server import HOST, Engine
from tests.support.ports import free_ports_in_a_row

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.02


class EngineControl:
    """Sets a running engine's script and asks what it has seen; for any process on this machine."""

    def __init__(self, *, control_port: int) -> None:
        self._url = f"http://{HOST}:{control_port}"

    def set(self, **changes: Any) -> None:
        """Merge into the script; see `tests.support.deepgram.script.Script`."""
        self._ask("/script", changes)

    def reset(self) -> None:
        """Behave again, end every connection, forget everything."""
        self._ask("/reset", {})

    def drop_connections(self) -> None:
        """As if its machine were gone; new ones are taken."""
        self._ask("/drop", {})

    def seen(self) -> Seen:
        """Since the start or the last reset."""
        return Seen.from_json(self._ask("/seen"))

    async def until(self, is_so: Callable[[Seen], Any], *, timeout_s: float = 10) -> Seen:
        """Wait for something to have been seen; that, when it has."""
        async with asyncio.timeout(timeout_s):
            while not is_so(seen := await asyncio.to_thread(self.seen)):  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(LOOK_EVERY_S)
        return seen

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class ScriptedDeepgram(EngineControl):
    """`with ScriptedDeepgram() as engine:`; ended by its own pid."""

    def __init__(self) -> None:
        self.port = free_ports_in_a_row(2)
        self.control_port = self.port + 1
        super().__init__(control_port=self.control_port)

    @property
    def url(self) -> str:
        """For a client's base address."""
        return f"http://{HOST}:{self.port}/v1/listen"

    @property
    def pid(self) -> int:
        """Whose CPU is the engine's, not the worker's."""
        return self._process.pid

    def __enter__(self) -> "ScriptedDeepgram":
        command = [sys.executable, "-m", "tests.support.scripted_deepgram"]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--control-port", str(self.control_port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.seen()
                return self
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError("the scripted engine did not come up") from None
                time.sleep(LOOK_EVERY_S)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)


async def _serve(*, port: int, control_port: int) -> None:
    await Engine(port=port, control_port=control_port).run()


def main() -> None:
    """Until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, help="default: the next one")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port=given.port, control_port=given.control_port or given.port + 1))


if __name__ == "__main__":
    main()
