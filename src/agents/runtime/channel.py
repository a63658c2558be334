"""The channel between a worker's main process and its jobs, which livekit-agents does not have.

The main process listens on a Unix socket in a directory of its own (0700); lines of JSON, bounded:

    job → worker   {"session", "generation"}                first line: who I am
    worker → job   the ClaimAnswer                          or the connection ends
    job → worker   {"number", "report": JobReport}          every second and at a change
    worker → job   {"number", "command": JobCommand|null, "finish": bool}
                   the answer to a heartbeat that held report `number`; `finish`: end open segments and leave
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from agents.runtime.errors import WorkerLost
from agents.runtime.roster import JobKey, Roster, Tick
from contract import shapes
from contract.errors import ContractError
from contract.workers import ClaimAnswer, JobCommand, Order

MAX_LINE_BYTES = 256 * 1024
ANSWER_TIMEOUT_S = 5.0
MAX_UNSENT_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line from the worker to a job."""

    number: int
    command: JobCommand | None = None
    finish: bool = False


class JobsDesk:
    """The main process' end: fills the roster, and passes on what jobs are to do."""

    def __init__(
        self, *, path: Path, roster: Roster, clock: Callable[[], float], on_news: Callable[[], None]
    ) -> None:
        self._path, self._roster, self._clock, self._on_news = path, roster, clock, on_news
        self._writers: dict[JobKey, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._finishing = False

    async def __aenter__(self) -> "JobsDesk":
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE_BYTES)
        self._path.chmod(0o600)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers.values():
            writer.close()

    def tell(self, instruction: Instruction, *, key: JobKey) -> None:
        """Pass an instruction on to its job; one that is unwanted before it has come will not be let in."""
        is_unwanted = instruction.command is not None and instruction.command.order is Order.LEAVE
        if writer := self._writers.get(key):
            _send(writer, instruction)
        elif is_unwanted and self._roster.serves(key):
            self._roster.gone(key)
            self._on_news()

    def finish_all(self) -> None:
        """Every job, now or as soon as it connects, ends its open segments and leaves."""
        self._finishing = True
        for key in self._writers:
            self.tell(Instruction(number=0, finish=True), key=key)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key: JobKey | None = None
        try:
            key = await self._welcomed(reader, writer)
            while key and (line := await reader.readline()):
                if self._roster.heard(key, shapes.from_json(Tick, line), now=self._clock()):
                    self._on_news()
        except (ContractError, OSError, TimeoutError, ValueError):
            pass  # a job that does not speak as agreed is treated as one that has gone
        finally:
            writer.close()
            if key:
                self._writers.pop(key, None)
                self._roster.gone(key)
                self._on_news()

    async def _welcomed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> JobKey | None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            key = shapes.from_json(JobKey, await reader.readline())
        claim = self._roster.connected(key, now=self._clock())
        if claim is None:
            return None
        _send(writer, claim)
        self._writers[key] = writer
        if self._finishing:
            self.tell(Instruction(number=0, finish=True), key=key)
        return key


class WorkerLine:
    """A job's end."""

    def __init__(
        self, *, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, claim: ClaimAnswer
    ) -> None:
        self._reader, self._writer, self.claim = reader, writer, claim

    def report(self, tick: Tick) -> None:
        """Never blocks: a worker that does not read is one that is about to be found lost."""
        _send(self._writer, tick)

    async def instructions(self) -> AsyncIterator[Instruction]:
        """Ends when the worker has gone."""
        with contextlib.suppress(ContractError, OSError, ValueError):
            while line := await self._reader.readline():
                yield shapes.from_json(Instruction, line)


@contextlib.asynccontextmanager
async def line_to_worker(path: Path, key: JobKey) -> AsyncIterator[WorkerLine]:
    """Raises WorkerLost when the worker does not know of this lease, or does not answer."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
            _send(writer, key)
            claim = shapes.from_json(ClaimAnswer, await reader.readline())
        if (claim.session, claim.generation) != (key.session, key.generation):
            raise ContractError("claim")
    except (ContractError, OSError, TimeoutError, ValueError) as error:
        raise WorkerLost("the worker did not answer its job") from error
    try:
        yield WorkerLine(reader=reader, writer=writer, claim=claim)
    finally:
        writer.close()


def _send(writer: asyncio.StreamWriter, value: Any) -> None:
    if writer.is_closing() or writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
        return
    writer.write(shapes.to_json(value).encode() + b"\n")
