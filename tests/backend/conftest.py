import asyncio
import datetime
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import jwt
import pytest
from django.core.cache import cache
from django.test import Client
from livekit import rtc

from backend.leases.models import Worker
from contract.names import INTERNAL_AUDIENCE
from contract.shapes import to_json
from tests.support.livekit import LiveKitServer
from tests.support.people import joined

T = TypeVar("T")


class People:
    """Real participants, on an event loop beside the test's own thread."""

    def __init__(self, server: LiveKitServer) -> None:
        self._server = server
        self._inside: dict[tuple[str, str], AsyncExitStack] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="people")
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def join(self, room: str, identity: str, **grants: object) -> rtc.Room:
        self._inside[room, identity] = AsyncExitStack()
        presence = joined(self._server, room, identity, **grants)
        return self.do(self._inside[room, identity].enter_async_context(presence))

    def leave(self, room: str, identity: str) -> None:
        self.do(self._inside.pop((room, identity)).aclose())

    def close(self) -> None:
        for room, identity in list(self._inside):
            self.leave(room, identity)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def people(livekit: LiveKitServer) -> Iterator[People]:
    crowd = People(livekit)
    yield crowd
    crowd.close()


@pytest.fixture
def livekit(livekit_server: LiveKitServer, settings: Any) -> LiveKitServer:
    """The real server, which the backend under test is pointed at."""
    settings.LIVEKIT_URL = settings.LIVEKIT_PUBLIC_URL = livekit_server.url
    settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET = livekit_server.api_key, livekit_server.api_secret
    settings.LIVEKIT_KEYS = {livekit_server.api_key: livekit_server.api_secret}
    cache.clear()
    return livekit_server


@pytest.fixture
def silent_livekit(settings: Any) -> Iterator[None]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.LIVEKIT_URL = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        yield


class Api:
    """The HTTP API, as somebody with a token sees it."""

    def __init__(self, token: str | None) -> None:
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = Client()

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        return self._client.generic(
            method,
            f"/api/v1.0/{path}",
            data="" if body is None else json.dumps(body),
            content_type="application/json",
            headers={**self._headers, **(headers or {})},
        )

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: object = None) -> Any:
        return self.call("POST", path, body)

    def patch(self, path: str, body: object = None) -> Any:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)


@pytest.fixture
def as_participant(people: People, livekit: LiveKitServer, room_name: str) -> Callable[..., Api]:
    """Join the test's room for real, and come back with that person's API."""

    def join(identity: str = "ada", **grants: object) -> Api:
        people.join(room_name, identity, **grants)
        return Api(livekit.token(room_name, identity, **grants))

    return join


async def until_disconnected(room: rtc.Room) -> None:
    gone = asyncio.Event()
    room.on("disconnected", lambda *_: gone.set())
    if room.isconnected():
        await asyncio.wait_for(gone.wait(), 5)


class WorkerApi:
    """The agent API, as a worker calls it."""

    def __init__(self, secret: str, name: str = "worker-1") -> None:
        self.name, self._secret, self._client = name, secret, Client()

    def token(self, **changes: object) -> str:
        claims = {"aud": INTERNAL_AUDIENCE, "sub": self.name, "exp": time.time() + 30, **changes}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def post(self, path: str, message: Any, *, token: str | None = None) -> Any:
        return self._client.post(
            path,
            data=message if isinstance(message, str) else to_json(message),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token or self.token()}"},
        )


@pytest.fixture
def worker_api(settings: Any) -> WorkerApi:
    return WorkerApi(settings.INTERNAL_API_SECRET)


@pytest.fixture
def idle_worker(db: None) -> Worker:
    """A worker that has just said it has room."""
    return Worker.objects.create(
        name="worker-1", heartbeat_at=datetime.datetime.now(datetime.UTC), capacity=8, engines=["embedded"]
    )
