import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.chaos.__main__ import laboratory
from tools.chaos.lab import Lab
from tools.chaos.table import Needs


class Laboratories:
    """One at a time: the machine is small, and rows with the same needs come one after another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = contextlib.ExitStack()
        self._needs: Needs | None = None
        self._lab: Lab | None = None
        self._made = 0

    def one_with(self, needs: Needs) -> Lab:
        if self._lab is None or needs != self._needs:
            self.close()
            self._made += 1
            self._lab = self._open.enter_context(laboratory(needs, self._directory / str(self._made)))
            self._needs = needs
        return self._lab

    def close(self) -> None:
        self._lab = None
        self._open.close()


@pytest.fixture(scope="module")
def laboratories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratories]:
    laboratories = Laboratories(tmp_path_factory.mktemp("chaos"))
    yield laboratories
    laboratories.close()
