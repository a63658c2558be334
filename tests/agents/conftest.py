from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.backend_double import BackendDouble, Lease, SegmentsScript
from tests.support.livekit import LiveKitServer
from tests.support.people import Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker


@pytest.fixture(scope="session")
def backend_server() -> Iterator[BackendDouble]:
    with BackendDouble() as double:
        yield double


@pytest.fixture(scope="session")
def engine_server() -> Iterator[SttDouble]:
    with SttDouble() as double:
        yield double


@pytest.fixture(scope="session")
def running_worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    """One worker for all tests that leave it as it was."""
    with RunningWorker(
        tmp_path_factory.mktemp("worker"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="shared",
    ) as worker:
        yield worker


@pytest.fixture
def backend(backend_server: BackendDouble) -> Iterator[BackendDouble]:
    """It takes finals, until the test says otherwise."""
    backend_server.segments = SegmentsScript()
    yield backend_server
    backend_server.segments = SegmentsScript()


@pytest.fixture
def engine(engine_server: SttDouble) -> Iterator[SttDouble]:
    """The speech server, behaving; in the end, whatever else it was to do, the worker has kept to the wire."""
    engine_server.reset()
    yield engine_server
    assert engine_server.violations == []


@pytest.fixture
async def lease(backend_server: BackendDouble, room_name: str) -> AsyncIterator[Lease]:
    """A lease for the room; its job has left when the test is over."""
    lease = backend_server.lease(room_name)
    yield lease
    await end_job(backend_server, lease)


async def end_job(backend: BackendDouble, lease: Lease) -> None:
    from contract.workers import Order

    lease.order = Order.LEAVE
    if backend.reports(lease):
        await backend.report(lease, lost=True)


@pytest.fixture
async def viewer(livekit_server: LiveKitServer, room_name: str) -> AsyncIterator[Viewer]:
    async with Viewer(livekit_server, room_name) as viewer:
        yield viewer


@pytest.fixture
async def live_room(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    lease: Lease,
    viewer: Viewer,
) -> Viewer:
    """A room whose transcriber is live, and somebody who watches."""
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    await viewer.until(lambda v: any(n.status.state == "live" for n in v.notices))
    return viewer
