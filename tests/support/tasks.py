"""Tasks that do what a test wants. Each leaves a line in a file, so that whoever waits knows how far it came."""

import time
from pathlib import Path

from backend.jobs.services import task


@task
def tells(*, file: str) -> None:
    say(Path(file), "ran")


@task
def waits(*, file: str) -> None:
    say(Path(file), "began")
    until_told(Path(file))
    say(Path(file), "ended")


def say(file: Path, what: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{what}\n")


def until_told(file: Path) -> None:
    """Until the file `go` is beside it."""
    while not (file.parent / "go").exists():
        time.sleep(0.02)
