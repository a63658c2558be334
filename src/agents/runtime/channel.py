"""The channel between a worker's main process and its jobs, which livekit-agents does not have.

The main process listens on a Unix socket in a directory of its own (0700); lines of JSON, bounded:

    job → worker   {"session", "generation"}                first line: who I am
    worker → job   {"claim", "engines"}: Assignment         or the connection ends
    job → worker   {"tick", "written", "unwritten"}: Word   a Tick every second and at a change; finals to be handed in
    worker → job   {"number", "command", "finish", "engines"}: Instruction
                   the answer to a heartbeat that held report `number`; `finish`: end open segments and leave;
                   `engines`: these from now on

A job whose `counts.engine_auth` goes up is sent its engines again, should there be others. Keys go this way alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from agents.runtime.errors import WorkerLost
from agents.runtime.roster import Assignment, JobKey, Roster, Tick, key_of
from contract import shapes
from contract.engines import SessionEngines
from contract.errors import ContractError
from contract.segments import Segment
from contract.workers import ClaimAnswer, JobCommand, Order

MAX_LINE_BYTES = 16 * 1024 * 1024
"""The wishes of thousands of people, and twenty posted segments of MAX_TEXT_CHARS in any script, are one line."""
ANSWER_TIMEOUT_S = 5.0
MAX_UNSENT_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line from the worker to a job."""

    number: int
    command: JobCommand | None = None
    finish: bool = False
    engines: SessionEngines | None = None


@dataclass(frozen=True, kw_only=True)
class Word:
    """One line from a job to its worker, after the first.

    `written` are files of the spool, `unwritten` finals that no file could be made of, or not in time.
    """

    tick: Tick | None = None
    written: tuple[str, ...] = ()
    unwritten: tuple[Segment, ...] = ()


class JobsDesk:
    """The main process' end: fills the roster, and passes on what jobs are to do."""

    def __init__(
        self,
        *,
        path: Path,
        roster: Roster,
        clock: Callable[[], float],
        on_news: Callable[[], None],
        on_finals: Callable[[JobKey, Word], None] = lambda *_: None,
    ) -> None:
        self._path, self._roster, self._clock = path, roster, clock
        self._on_news, self._on_finals = on_news, on_finals
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
                self._hear(key, shapes.from_json(Word, line, max_chars=MAX_LINE_BYTES))
        except (ContractError, OSError, TimeoutError, ValueError):
            pass  # a job that does not speak as agreed is treated as one that has gone
        finally:
            writer.close()
            if key:
                self._writers.pop(key, None)
                self._roster.gone(key)
                self._on_news()

    def _hear(self, key: JobKey, word: Word) -> None:
        if word.tick is not None and self._roster.heard(key, word.tick, now=self._clock()):
            self._on_news()
        if word.written or word.unwritten:
            self._on_finals(key, word)

    async def _welcomed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> JobKey | None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            key = shapes.from_json(JobKey, await reader.readline())
        assignment = self._roster.connected(key, now=self._clock())
        if assignment is None:
            return None
        _send(writer, assignment)
        self._writers[key] = writer
        if self._finishing:
            self.tell(Instruction(number=0, finish=True), key=key)
        return key


class WorkerLine:
    """A job's end."""

    def __init__(
        self, *, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, assignment: Assignment
    ) -> None:
        self._reader, self._writer = reader, writer
        self.claim: ClaimAnswer = assignment.claim
        self.engines: SessionEngines = assignment.engines
        """As they were at the start; others come with an instruction."""

    def report(self, tick: Tick) -> None:
        """Never blocks: a worker that does not read is one that is about to be found lost."""
        _send(self._writer, Word(tick=tick))

    def hand_in(self, *, written: tuple[str, ...] = (), unwritten: tuple[Segment, ...] = ()) -> bool:
        """As `report`; false: the worker does not read."""
        return _send(self._writer, Word(written=written, unwritten=unwritten))

    async def instructions(self) -> AsyncIterator[Instruction]:
        """Ends when the worker has gone."""
        with contextlib.suppress(ContractError, OSError, ValueError):
            while line := await self._reader.readline():
                yield shapes.from_json(Instruction, line, max_chars=MAX_LINE_BYTES)


@contextlib.asynccontextmanager
async def line_to_worker(path: Path, key: JobKey) -> AsyncIterator[WorkerLine]:
    """Raises WorkerLost when the worker does not know of this lease, or does not answer."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
            _send(writer, key)
            line = await reader.readline()
            assignment = shapes.from_json(Assignment, line, max_chars=MAX_LINE_BYTES)
        if key_of(assignment.claim) != key:
            raise ContractError("claim")
    except (ContractError, OSError, TimeoutError, ValueError) as error:
        raise WorkerLost("the worker did not answer its job") from error
    try:
        yield WorkerLine(reader=reader, writer=writer, assignment=assignment)
    finally:
        writer.close()


def _send(writer: asyncio.StreamWriter, value: Any) -> bool:
    if writer.is_closing() or writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
        return False
    writer.write(shapes.to_json(value).encode() + b"\n")
    return True
