"""A server of the tests on an event loop and thread of its own, so that one can serve many tests."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from tests.support.ports import free_port

T = TypeVar("T")


class ThreadedServer:
    """`with Double() as double:`; may be shut and opened again on its port."""

    def __init__(self, application: Callable[[], web.Application]) -> None:
        self.port = free_port()
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="double", daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self.open()

    def stop(self) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def open(self) -> None:
        """Listen; as after a restart."""
        self._within(self._open())

    def shut(self) -> None:
        """As if killed: nobody is told goodbye, connections end."""
        self._within(self._shut())

    def call(self, function: Callable[[], object]) -> None:
        """On the server's loop, soon."""
        self._loop.call_soon_threadsafe(function)

    def _within(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _open(self) -> None:
        self._runner = web.AppRunner(self._application(), shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def _shut(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            assert runner.server is not None
            for connection in list(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await runner.cleanup()
