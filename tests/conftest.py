import uuid
from collections.abc import Iterator

import pytest

from tests.support.livekit import LiveKitServer, RunningLiveKit


@pytest.fixture(scope="session")
def livekit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with RunningLiveKit(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
def room_name() -> str:
    return f"room-{uuid.uuid4().hex[:12]}"
