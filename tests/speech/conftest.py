import os
from collections.abc import Iterator

import pytest

from tests.support.speech import RunningSpeech

# Real human speech is not part of the project: SPEECH_DIR says where it is, and without it there is no such test.
collect_ignore = [] if os.environ.get("SPEECH_DIR") else ["test_human_speech.py"]


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSpeech]:
    """One server for the tests that leave it as they found it."""
    with RunningSpeech(tmp_path_factory.mktemp("speech"), sessions=2) as running:
        yield running


@pytest.fixture(scope="session")
def locked_speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSpeech]:
    """One that asks for a key."""
    with RunningSpeech(tmp_path_factory.mktemp("locked"), sessions=1, api_key="key-of-the-test") as running:
        yield running
