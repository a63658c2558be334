"""A process of the bench that answers lines of JSON: parent's side and child's side."""

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.livekit import ROOT
from tools.bench.surroundings import environment

LINE_LIMIT_BYTES = 64 * 2**20
ENDS_WITHIN_S = 5.0

Handler = Callable[..., Awaitable[Any]]


class Child:
    """`async with Child("tools.bench.crowd", log=...) as crowd: await crowd.ask("join", room=...)`.

    Several may ask at once; each gets its own answer.
    """

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self._module, self._log = module, log
        self._command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> "Child":
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT_BYTES,
                start_new_session=True,
            )
        self._reading = asyncio.create_task(self._read(), name=f"answers of {self._module}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, what: str, *, timeout_s: float = 60, **arguments: Any) -> Any:
        """The handler's answer. Raises RuntimeError with what it raised, or when the process has ended."""
        if self._reading.done():
            raise self._has_ended()
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        try:
            async with asyncio.timeout(timeout_s):
                self._process.stdin.write(json.dumps([number, what, arguments]).encode() + b"\n")
                await self._process.stdin.drain()
                return await answer
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            number, answer, error = json.loads(line)
            waiting = self._waiting.get(number)
            if waiting is None or waiting.done():
                continue
            if error is None:
                waiting.set_result(answer)
            else:
                waiting.set_exception(RuntimeError(f"{self._module}: {error}"))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._has_ended())

    def _has_ended(self) -> RuntimeError:
        return RuntimeError(f"{self._module} has ended: {self._log.read_text(errors='replace')[-2000:]}")


async def answer_lines(handlers: Mapping[str, Handler]) -> None:
    """The child's side: until the parent closes the line, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when
    reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as answering:
        while line := await reader.readline():
            number, what, arguments = json.loads(line)
            answering.create_task(_answer(number, handlers[what], arguments), name=what)
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()


async def _answer(number: int, handler: Handler, arguments: dict[str, Any]) -> None:
    try:
        answer, told = await handler(**arguments), None
    except Exception as error:  # noqa: BLE001 - the parent decides what it means
        answer, told = None, f"{type(error).__name__}: {error}"
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps([number, answer, told]) + "\n")
        sys.stdout.flush()
