"""A bench from its environment to its table and exit status."""

import json
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from tools.bench import surroundings
from tools.bench.table import Form, Measured, Row, judged, markdown_head, markdown_line

T = TypeVar("T")


class CannotRun(Exception):
    """Its text tells the user what to change."""


def chosen(name: str, wish: str, known: Sequence[str]) -> str:
    """Of the variable `name`. Raises CannotRun."""
    if wish not in known:
        raise CannotRun(f"{name}: {wish} is not one of {', '.join(filter(None, known))}")
    return wish


def reported(
    measured: Callable[[], dict[str, Measured]], rows: Sequence[Row], form: Form, *, out: str | None
) -> int:
    """Measures, prints the table, writes the raw results; 1 when a goal is missed."""
    began, about = time.monotonic(), surroundings.described()
    found = measured()
    verdicts = {row.id: judged(row, found, form) for row in rows}
    print(surroundings.sentence(about))
    print()
    print(markdown_head())
    for row in rows:
        print(markdown_line(row, verdicts[row.id]))
    missed = [row.id for row in rows if not verdicts[row.id].ok]
    told = f"MISSED: {', '.join(missed)}" if missed else "every goal is met"
    print(f"\n{len(rows)} rows in {(time.monotonic() - began) / 60:.1f} minutes: {told}")
    if out:
        seen = [
            {"id": row.id, "what": row.what, "goal": row.goal, **asdict(verdicts[row.id])} for row in rows
        ]
        kept = {"about": about, "form": asdict(form), "rows": seen, "scenes": found}
        Path(out).resolve().write_text(json.dumps(kept, indent=1))
    return 1 if missed else 0


def main(
    environment: Mapping[str, str], *, wanted: Callable[[Mapping[str, str]], T], run: Callable[[T, Path], int]
) -> int:
    """`run` in a directory that is kept if BENCH_DIR names it; 2: what is wanted cannot be."""
    # livekit's own protobuf code warns at import.
    warnings.simplefilter("ignore")
    # A shell ignores SIGINT for what it runs in the background; either signal has to end all we started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        chosen = wanted(environment)
    except CannotRun as problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        if kept := environment.get("BENCH_DIR"):
            return run(chosen, Path(kept).resolve())
        with tempfile.TemporaryDirectory(prefix="roomscribe-bench-") as directory:
            return run(chosen, Path(directory))
    except KeyboardInterrupt:
        return 130
