"""One address for several backends: connections in turn, past one that refuses."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence

CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 0.3


class Balancer:
    """`with Balancer(port, ports) as balancer:`; runs in a thread of its own."""

    def __init__(self, *, port: int, backend_ports: Sequence[int]) -> None:
        self.port, self._backend_ports = port, tuple(backend_ports)
        self._turn = itertools.count()
        self._is_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="balancer", daemon=True
        )

    def __enter__(self) -> "Balancer":
        self._thread.start()
        if not self._is_up.wait(10):
            raise RuntimeError("the balancer did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop and self._ended:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connect(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port, backlog=512)
        self._is_up.set()
        await self._ended.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            first = next(self._turn)
            for number in range(len(self._backend_ports)):
                port = self._backend_ports[(first + number) % len(self._backend_ports)]
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        behind = await asyncio.open_connection("127.0.0.1", port)
                except (OSError, TimeoutError):
                    continue
                await _exchange((reader, writer), behind)
                return


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _exchange(client: Ends, backend: Ends) -> None:
    """Until either end is done: HTTP has no half-closed connections that matter here."""
    copying = {
        asyncio.create_task(_copy(client[0], backend[1])),
        asyncio.create_task(_copy(backend[0], client[1])),
    }
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
        backend[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
