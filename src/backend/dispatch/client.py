"""The one LiveKit client of a process, on an event loop of its own.

An aiohttp session belongs to one event loop. Requests run on threads that come and go, so the client lives on a
loop in a daemon thread and callers wait for it from where they are.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import TimeoutError as WaitTimeout
from typing import Any, TypeVar

import aiohttp
from django.conf import settings
from livekit import api

from backend.errors import LiveKitUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

Work = Callable[[api.LiveKitAPI], Awaitable[T]]


class LiveKitClient:
    def __init__(self, *, url: str, api_key: str, api_secret: str) -> None:
        self._url, self._api_key, self._api_secret = url, api_key, api_secret
        self._loop = asyncio.new_event_loop()
        self._lkapi: api.LiveKitAPI | None = None
        self._in_flight: dict[Hashable, asyncio.Task[Any]] = {}
        threading.Thread(target=self._loop.run_forever, name="livekit client", daemon=True).start()

    def call(self, work: Work[T], *, timeout_s: float, same: Hashable = None) -> T:
        """The result of `work`, or LiveKitUnavailable when it takes longer than `timeout_s` or LiveKit is not there.

        Calls of one process that pass an equal `same` while one is under way share its answer.
        A refusal by LiveKit is the same to a caller; `work` catches those it expects.
        """
        future = asyncio.run_coroutine_threadsafe(self._shared(work, timeout_s, same), self._loop)
        try:
            return future.result(timeout_s + 1)
        except (TimeoutError, WaitTimeout, aiohttp.ClientError, OSError) as exc:
            future.cancel()
            raise LiveKitUnavailable from exc
        except api.ServerError as exc:
            logger.warning("LiveKit refused a request", extra={"code": exc.code})
            raise LiveKitUnavailable from exc

    def spawn(self, work: Work[Any], *, timeout_s: float) -> None:
        """Do `work` in the background; its failure is nobody's."""
        asyncio.run_coroutine_threadsafe(self._quietly(work, timeout_s), self._loop)

    def close(self) -> None:
        """Let go of LiveKit's connections, at the end of the process."""
        with contextlib.suppress(TimeoutError, WaitTimeout):
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(1)

    async def _close(self) -> None:
        if self._lkapi is not None:
            await self._lkapi.aclose()

    async def _shared(self, work: Work[T], timeout_s: float, same: Hashable) -> T:
        if same is None:
            return await self._bounded(work, timeout_s)
        task = self._in_flight.get(same)
        if task is None:
            task = self._loop.create_task(self._bounded(work, timeout_s))
            self._in_flight[same] = task
            task.add_done_callback(lambda _: self._in_flight.pop(same, None))
        result: T = await asyncio.shield(task)
        return result

    async def _bounded(self, work: Work[T], timeout_s: float) -> T:
        async with asyncio.timeout(timeout_s):
            return await work(self._api())

    async def _quietly(self, work: Work[Any], timeout_s: float) -> None:
        try:
            await self._bounded(work, timeout_s)
        except (TimeoutError, aiohttp.ClientError, OSError, api.ServerError):
            return

    def _api(self) -> api.LiveKitAPI:
        if self._lkapi is None:  # made on this loop, where it stays
            self._lkapi = api.LiveKitAPI(self._url, self._api_key, self._api_secret, failover=False)
        return self._lkapi


_clients: dict[tuple[int, str, str, str], LiveKitClient] = {}
_lock = threading.Lock()


def livekit() -> LiveKitClient:
    """This process's client; a forked child makes its own."""
    identity = (os.getpid(), settings.LIVEKIT_URL, settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET)
    with _lock:
        if identity not in _clients:
            client = LiveKitClient(url=identity[1], api_key=identity[2], api_secret=identity[3])
            atexit.register(client.close)
            _clients[identity] = client
        return _clients[identity]
