from collections.abc import Iterator

import pytest

from tests.support.stack import RunningStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`make run`, shared by the tests that only look at it."""
    with RunningStack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running
