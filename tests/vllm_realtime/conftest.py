from collections.abc import Iterator

import pytest

from tests.support.engines.scripted import ABNORMAL
from tests.support.scripted_vllm import ScriptedVllm

KEY = "a-key-that-nobody-may-see"


@pytest.fixture(scope="session")
def vllm_server() -> Iterator[ScriptedVllm]:
    with ScriptedVllm(key=KEY) as server:
        yield server


@pytest.fixture
def vllm(vllm_server: ScriptedVllm) -> Iterator[ScriptedVllm]:
    """Behaving; in the end, whatever it was to do, its client has kept to the wire and said goodbye."""
    vllm_server.behave()
    yield vllm_server
    assert vllm_server.violations == []
    assert ABNORMAL not in {session.close_code for session in vllm_server.sessions}
