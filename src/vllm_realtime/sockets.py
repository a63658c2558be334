"""The beginning and the end of a WebSocket."""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from typing import Any

import aiohttp

CLOSE_TIMEOUT_S = 1.0


async def dialled(
    dial: Coroutine[Any, Any, aiohttp.ClientWebSocketResponse], *, within_s: float
) -> aiohttp.ClientWebSocketResponse:
    """What `dial` opens. Raises TimeoutError, and whatever it raises."""
    dialling = asyncio.create_task(dial, name="dial")
    try:
        async with asyncio.timeout(within_s):
            return await asyncio.shield(dialling)
    except TimeoutError:
        await _hang_up(dialling, patience_s=0.0)
        raise
    except asyncio.CancelledError:
        # The server may have accepted already: then it is to hear goodbye, and not that we are gone.
        await _hang_up(dialling, patience_s=CLOSE_TIMEOUT_S)
        raise


async def _hang_up(dialling: asyncio.Task[aiohttp.ClientWebSocketResponse], *, patience_s: float) -> None:
    """Nobody wants the connection any more; in the middle of the handshake it is waited for a little."""
    await asyncio.wait({dialling}, timeout=patience_s)
    if not dialling.done():
        dialling.cancel()
        await asyncio.wait({dialling})
    if not (dialling.cancelled() or dialling.exception()):
        await end(dialling.result())


async def end(websocket: aiohttp.ClientWebSocketResponse) -> None:
    """Say goodbye if the server listens, and leave nothing behind if it does not."""
    raw = websocket.get_extra_info("socket")
    try:
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await websocket.close()
    finally:
        # A closed connection lives on while it holds what a server that has stopped reading never takes.
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)
