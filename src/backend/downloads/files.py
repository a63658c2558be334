"""Exported files in EXPORT_DIR: never seen half written, and by nobody else on the machine."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings

ORPHANED_AFTER_S = 3600
CHUNK_BYTES = 256 * 1024


def new_path() -> str:
    return secrets.token_hex(16)


@contextlib.contextmanager
def written(path: str) -> Iterator[IO[bytes]]:
    """Under its name when all is written. Raises FileNotFoundError if it was forgotten meanwhile."""
    directory = _directory()
    unfinished = directory / f"{path}.{secrets.token_hex(4)}"
    try:
        with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            yield file
        unfinished.rename(directory / path)
    finally:
        unfinished.unlink(missing_ok=True)


def size_of(path: str) -> int | None:
    """In bytes; None: it is not there."""
    try:
        return (_directory() / path).stat().st_size
    except FileNotFoundError:
        return None


def chunks(path: str) -> Iterator[bytes]:
    """Opened when the first is asked for: whoever has gone by then leaves nothing open."""
    with (_directory() / path).open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def forget(path: str) -> None:
    """What is being written of it, too."""
    for found in _directory().glob(f"{path}*"):
        found.unlink(missing_ok=True)


def orphans(known: set[str]) -> set[str]:
    """Files that nothing knows of and that nobody can be about to tell of."""
    before_s = time.time() - ORPHANED_AFTER_S
    return {
        found.name
        for found in _directory().iterdir()
        if found.name.partition(".")[0] not in known and found.stat().st_mtime < before_s
    }


def _directory() -> Path:
    directory = Path(settings.EXPORT_DIR)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
