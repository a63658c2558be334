import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.livekit import LiveKitServer, RunningLiveKit

# The same examples every time: a red run is repeatable. `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def livekit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with RunningLiveKit(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
def room_name() -> str:
    return f"room-{uuid.uuid4().hex[:12]}"
