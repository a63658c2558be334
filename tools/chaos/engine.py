"""The laboratory's scripted engine, and the way to it, on which connections can be harmed one by one."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from tests.support.deepgram.server import HOST
from tests.support.ports import free_port, free_ports_in_a_row
from tests.support.scripted_deepgram import EngineControl

API_KEY = "chaos-engine-key"
CHUNK_BYTES = 65_536
CALL_TIMEOUT_S = 10.0
BYTES_PER_S = 1

Harm = Literal["silent", "unread", "blackhole", "trickle"]
"""`silent`: what the engine answers is thrown away. `unread`: what it is sent is not read. `blackhole`: both ways
nothing passes, and nobody is told. `trickle`: one byte a second."""

T = TypeVar("T")


class LabEngine(EngineControl):
    """The control of the engine's process, and the proxy that workers reach it by."""

    def __init__(self, *, plant: str) -> None:
        self._port = free_ports_in_a_row(2)
        super().__init__(control_port=self._port + 1)
        self.proxy = EngineProxy(engine_port=self._port)
        self._plant = plant

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.support.scripted_deepgram", "--port", str(self._port))

    @property
    def environment(self) -> dict[str, str]:
        """Of backend and workers. No other engine steps in, unless a row wants one."""
        return {
            "STT_PROVIDER": "deepgram",
            "STT_FALLBACK": "",
            "STT_BASE_URL": f"http://{HOST}:{self.proxy.port}/v1/listen",
            "STT_API_KEY": API_KEY,
        }

    def is_ready(self) -> bool:
        try:
            self.seen()
        except OSError:
            return False
        return True

    def behave(self) -> None:
        """As at the start: nothing has been seen, nothing is harmed."""
        self.proxy.open()
        self.reset()
        if self._plant == "lossy_engine":
            self.set(drop_final=5)

    async def script(self, **changes: Any) -> None:
        """`set`, without blocking."""
        await asyncio.to_thread(self.set, **changes)

    async def fail(self, **changes: Any) -> None:
        """Be like this from now on; every connection ends."""
        await self.script(**changes)
        await asyncio.to_thread(self.drop_connections)


class EngineProxy:
    """`with EngineProxy(...) as proxy:`; what is harmed stays so, new connections are well."""

    def __init__(self, *, engine_port: int) -> None:
        self.port, self._engine_port = free_port(), engine_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._ways: set[_Way] = set()

    def __enter__(self) -> "EngineProxy":
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_TIMEOUT_S)
        self._loop.close()

    def open(self) -> None:
        """Take connections."""
        self._within(self._open())

    def shut(self) -> None:
        """Refuse connections; those there are go on."""
        self._within(self._shut())

    def cut(self) -> None:
        """Every connection ends at both sides."""
        self._within(self._cut(self._ways))

    def cut_harmed(self) -> None:
        """What is harmed ends."""
        self._within(self._cut({way for way in self._ways if way.harm}))

    def harm(self, harm: Harm) -> int:
        """Every connection that is open now; how many these are."""
        return self._within(self._harm(harm))

    def _within(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_TIMEOUT_S)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, backlog=512)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self, ways: "set[_Way]") -> None:
        tasks = [way.task for way in ways if way.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _harm(self, harm: Harm) -> int:
        for way in self._ways:
            way.harm = way.harm or harm
        return len(self._ways)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = _Way()
        way.task = asyncio.current_task()
        self._ways.add(way)
        try:
            await way.run((reader, writer), engine_port=self._engine_port)
        except asyncio.CancelledError:
            pass  # asyncio's own callback for servers would log it; nobody else waits for this task
        finally:
            self._ways.discard(way)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Way:
    """One connection, from the worker to the engine."""

    def __init__(self) -> None:
        self.harm: Harm | None = None
        self.task: asyncio.Task[None] | None = None

    async def run(self, worker: Ends, *, engine_port: int) -> None:
        """Until either side is done."""
        writers = [worker[1]]
        copying: set[asyncio.Task[None]] = set()
        try:
            with contextlib.suppress(OSError):
                engine = await asyncio.open_connection(HOST, engine_port)
                writers.append(engine[1])
                copying = {
                    asyncio.create_task(self._copy(worker[0], engine[1], is_answer=False)),
                    asyncio.create_task(self._copy(engine[0], worker[1], is_answer=True)),
                }
                await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            for writer in writers:
                writer.transport.abort() if self.harm else writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._pass(data, writer, is_answer=is_answer)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        if self.harm == "silent" and is_answer:
            return
        if self.harm == "blackhole" or (self.harm == "unread" and not is_answer):
            await asyncio.Event().wait()  # until the connection is cut
        if self.harm == "trickle":
            for at in range(0, len(data), BYTES_PER_S):
                writer.write(data[at : at + BYTES_PER_S])
                await writer.drain()
                await asyncio.sleep(1.0)
            return
        writer.write(data)
        await writer.drain()
