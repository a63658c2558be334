"""Finals on disk until the backend has them: a file for each, in one directory that all workers of a machine may share.

A file is written under another name and then given its own, so whoever lists the directory sees whole files alone.
Its name tells when it was written, by whom, and whose segment it holds. Everything here blocks: call it in a thread.
Nothing is synced: a process that is killed loses nothing, a machine that loses power may lose its last second.
"""

import contextlib
import itertools
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from contract import shapes
from contract.errors import ContractError
from contract.segments import Segment

NAME = re.compile(
    r"(?P<unfinished>\.?)(?P<written_ms>\d{13})-(?P<writer>[0-9a-f]{1,32})-(?P<number>\d{1,20})"
    r"\.(?P<session>[0-9A-Za-z-]{1,64})\.(?P<generation>\d{1,9})\.json"
)
MAX_FILE_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class SpoolFile:
    """One final's, as a listing tells of it."""

    name: str
    is_whole: bool
    writer: str
    written_ms: int
    session: str
    generation: int
    size_bytes: int


def spool_file(name: str, *, size_bytes: int = 0) -> SpoolFile | None:
    """None: it is nothing of ours."""
    if (found := NAME.fullmatch(name)) is None:
        return None
    return SpoolFile(
        name=name,
        is_whole=not found["unfinished"],
        writer=found["writer"],
        written_ms=int(found["written_ms"]),
        session=found["session"],
        generation=int(found["generation"]),
        size_bytes=size_bytes,
    )


class Spool:
    """One directory. Every call may raise OSError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = itertools.count(1)
        self._is_prepared = False

    def prepare(self) -> None:
        """Make it if need be, for us alone. Raises PermissionError when somebody else could have put it there."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            raise PermissionError("the spool is not a directory of ours")
        if found.st_uid == os.geteuid():
            self.directory.chmod(0o700)
        self._is_prepared = True

    def write(self, segment: Segment, *, writer: str, session: str, generation: int) -> str:
        """The new file's name."""
        number = f"{os.getpid()}{next(self._numbers):06d}"
        name = f"{time.time_ns() // 1_000_000:013d}-{writer}-{number}.{session}.{generation}.json"
        if spool_file(name) is None:
            raise OSError("no file can be named like this session")
        if not self._is_prepared:
            self.prepare()
        unfinished = self.directory / f".{name}"
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
            with open(os.open(unfinished, flags, 0o600), "wb") as file:
                file.write(shapes.to_json(segment).encode())
            unfinished.rename(self.directory / name)
        except OSError:
            self._is_prepared = False  # somebody may have tidied up
            with contextlib.suppress(OSError):
                unfinished.unlink()  # half a sentence is not to stay there
            raise
        return name

    def read(self, name: str) -> Segment:
        """Raises ContractError for what is no segment, FileNotFoundError for what somebody else has handed in."""
        with open(os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            segment = shapes.from_json(Segment, file.read(MAX_FILE_BYTES + 1), max_chars=MAX_FILE_BYTES)
        try:
            shapes.to_json(segment).encode()
        except UnicodeEncodeError:  # JSON can spell half a character, which nothing can send
            raise ContractError("text") from None
        return segment

    def remove(self, name: str) -> bool:
        """Whether it was there."""
        try:
            (self.directory / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def files(self) -> list[SpoolFile]:
        """The oldest first; those that are not whole are being written, or were left by somebody who was killed."""
        with os.scandir(self.directory) as entries:
            found = [file for entry in entries if (file := _listed(entry))]
        return sorted(found, key=lambda file: file.name.removeprefix("."))


def _listed(entry: "os.DirEntry[str]") -> SpoolFile | None:
    with contextlib.suppress(FileNotFoundError):
        return spool_file(entry.name, size_bytes=entry.stat(follow_symlinks=False).st_size)
    return None
