"""The way to the engine: harmed as told, connection by connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.ports import free_port
from tools.chaos.engine import EngineProxy, Harm

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Ends]]


@pytest.fixture
async def proxy() -> AsyncIterator[EngineProxy]:
    """Before a server that answers everything with the same."""

    echoing: list[asyncio.Task[None] | None] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echoing.append(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)

    port = free_port()
    async with await asyncio.start_server(echo, "127.0.0.1", port):
        with EngineProxy(engine_port=port) as proxy:
            yield proxy
        async with asyncio.timeout(5):  # the proxy has cut them off
            await asyncio.gather(*filter(None, echoing))


@pytest.fixture
async def connected(proxy: EngineProxy) -> AsyncIterator[Connect]:
    writers = []

    async def connect() -> Ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer(ends: Ends, text: bytes, *, timeout_s: float = 5) -> bytes:
    ends[1].write(text)
    async with asyncio.timeout(timeout_s):
        return await ends[0].read(1000)


@pytest.mark.parametrize("harm", ["silent", "unread", "blackhole"])
async def test_a_harmed_connection_stays_silent_and_open_while_a_new_one_is_well(
    proxy: EngineProxy, connected: Connect, harm: Harm
) -> None:
    old = await connected()
    assert await answer(old, b"before") == b"before"
    assert proxy.harm(harm) == 1
    new = await connected()
    assert await answer(new, b"well") == b"well"
    with pytest.raises(TimeoutError):
        await answer(old, b"harmed", timeout_s=0.3)


async def test_a_trickle_gives_a_byte_at_a_time(proxy: EngineProxy, connected: Connect) -> None:
    ends = await connected()
    assert await answer(ends, b"before") == b"before"
    proxy.harm("trickle")
    assert await answer(ends, b"after") == b"a"


async def test_what_is_harmed_can_be_cut_off_alone(proxy: EngineProxy, connected: Connect) -> None:
    old = await connected()
    assert await answer(old, b"before") == b"before"
    proxy.harm("blackhole")
    new = await connected()
    assert await answer(new, b"well") == b"well"
    proxy.cut_harmed()
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):  # an orderly end will do
            assert not await old[0].read(1)
    assert await answer(new, b"still") == b"still"


async def test_it_refuses_connections_when_shut_and_takes_them_when_open(
    proxy: EngineProxy, connected: Connect
) -> None:
    ends = await connected()
    assert await answer(ends, b"before") == b"before"
    proxy.shut()
    with pytest.raises(ConnectionError):
        await connected()
    assert await answer(ends, b"goes on") == b"goes on"
    proxy.open()
    assert await answer(await connected(), b"again") == b"again"
