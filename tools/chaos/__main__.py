"""`python -m tools.chaos`: run the rows, print the table; 0 when all saw what was promised.

In the environment: LONG=1 for the long forms, CHAOS_ROWS=P5,F1 for these alone, CHAOS_SHORT=1 for the forms of the
tests, CHAOS_PLANT=no_lease or another one of tools/chaos/lab.py for a defect that must show, CHAOS_DIR to keep the logs
in.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.chaos.lab import PLANTS, Lab
from tools.chaos.table import (
    Needs,
    Row,
    Seen,
    in_laboratories,
    load_rows,
    markdown_head,
    markdown_line,
    see,
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    rows: tuple[Row, ...]
    long: bool
    short: bool
    plant: str


class CannotRun(Exception):
    """Its text tells the user what to change."""


def wanted(environment: Mapping[str, str]) -> Wanted:
    rows = load_rows()
    names = [name.strip().upper() for name in environment.get("CHAOS_ROWS", "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in rows]:
        raise CannotRun(f"CHAOS_ROWS: {', '.join(unknown)} is not one of {', '.join(rows)}")
    plant = environment.get("CHAOS_PLANT", "")
    if plant not in PLANTS:
        raise CannotRun(f"CHAOS_PLANT: {plant} is not one of {', '.join(PLANTS[1:])}")
    return Wanted(
        rows=tuple(rows[name] for name in (names or rows)),
        long=environment.get("LONG", "") not in ("", "0"),
        short=environment.get("CHAOS_SHORT", "") not in ("", "0"),
        plant=plant,
    )


def laboratory(needs: Needs, directory: Path, *, plant: str = "") -> Lab:
    return Lab(
        directory,
        workers=needs.workers,
        backends=needs.backends,
        keepers=needs.keepers,
        database=needs.database,
        redis=needs.redis,
        engine=needs.engine,
        plant=plant,
        **dict(needs.environment),
    )


def run(wanted: Wanted, directory: Path) -> dict[str, Seen]:
    """What each row saw; told line by line as it becomes known, and in order at the end."""
    seen: dict[str, Seen] = {}
    for number, (needs, rows) in enumerate(in_laboratories(wanted.rows), start=1):
        try:
            with laboratory(needs, directory / f"laboratory-{number}", plant=wanted.plant) as lab:
                asyncio.run(_rows_in(lab, rows, wanted, seen))
        except RuntimeError as error:
            print(f"laboratory {number}: {error}", file=sys.stderr, flush=True)
            for row in rows:
                seen.setdefault(row.id, Seen("the laboratory could not be had", False))
    return seen


async def _rows_in(lab: Lab, rows: list[Row], wanted: Wanted, seen: dict[str, Seen]) -> None:
    for row in rows:
        began = time.monotonic()
        print(f"… {row.id}: {row.fault}", file=sys.stderr, flush=True)
        seen[row.id] = await see(row, lab, long=wanted.long, short=wanted.short)
        said = "as promised" if seen[row.id].ok else "MISSED"
        took_s = time.monotonic() - began
        print(f"  {said} in {took_s:.0f} s: {seen[row.id].text}", file=sys.stderr, flush=True)
        await lab.mend()


def main(environment: Mapping[str, str]) -> int:
    # livekit's own protobuf code warns at import.
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        chosen = wanted(environment)
    except CannotRun as problem:
        print(problem, file=sys.stderr)
        return 2
    began = time.monotonic()
    kept = environment.get("CHAOS_DIR")
    try:
        if kept:
            seen = run(chosen, Path(kept).resolve())
        else:
            with tempfile.TemporaryDirectory(prefix="roomscribe-chaos-") as directory:
                seen = run(chosen, Path(directory))
    except KeyboardInterrupt:
        return 130
    print(markdown_head())
    for row in chosen.rows:
        print(markdown_line(row, seen[row.id]))
    missed = [row.id for row in chosen.rows if not seen[row.id].ok]
    told = f"MISSED: {', '.join(missed)}" if missed else "everything as promised"
    print(f"\n{len(chosen.rows)} rows in {(time.monotonic() - began) / 60:.1f} minutes: {told}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
