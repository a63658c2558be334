"""When the keeper may hold silence against a worker."""

import json
from collections.abc import Iterator

import pytest
from aiohttp import web

from backend.keeper.readiness import BackendWatch
from tests.support.threaded import ThreadedServer


class Backend(ThreadedServer):
    def __init__(self) -> None:
        self.status, self.body = 200, {"database": True}
        super().__init__(self._application_of)

    def _application_of(self) -> web.Application:
        async def readyz(_: web.Request) -> web.Response:
            return web.Response(status=self.status, text=json.dumps(self.body))

        application = web.Application()
        application.router.add_get("/internal/v1/ready", readyz)
        return application


@pytest.fixture
def backend() -> Iterator[Backend]:
    running = Backend()
    running.start()
    yield running
    running.stop()


def test_silence_counts_only_after_the_backend_has_answered_for_a_while(backend: Backend) -> None:
    assert not BackendWatch(backend.url, unbroken_for_s=60).has_answered_without_a_break()
    assert BackendWatch(backend.url, unbroken_for_s=0).has_answered_without_a_break()


@pytest.mark.parametrize("trouble", ["away", "no database", "not ours"])
def test_a_break_starts_the_wait_anew(backend: Backend, trouble: str) -> None:
    watch = BackendWatch(backend.url, ask_every_s=0, unbroken_for_s=0.2)
    while not watch.has_answered_without_a_break():
        pass

    if trouble == "away":
        backend.shut()
    else:
        backend.body = {"database": False} if trouble == "no database" else {}
    assert not watch.has_answered_without_a_break()

    backend.body = {"database": True}
    if trouble == "away":
        backend.open()
    assert not watch.has_answered_without_a_break()
