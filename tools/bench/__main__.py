"""`python -m tools.bench`: run the scenes, judge the rows, print the table; 0 when every goal is met.

In the environment: LONG=1 for the long forms, BENCH_SHORT=1 for the forms of the tests, BENCH_ROWS=P1-4,P2 for these
alone, BENCH_OUT=file.json for the raw results, BENCH_DIR to keep the logs in, BENCH_PLANT=slow, dropped_final
or leaked_task for a defect that must show.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bench import report
from tools.bench.lab import PLANTS, Lab, tell
from tools.bench.report import CannotRun, chosen
from tools.bench.table import (
    DEFAULT,
    LONG,
    SCENES,
    SHORT,
    Form,
    Measured,
    Row,
    load_rows,
    scenes_of,
)

__all__ = ["CannotRun", "main", "wanted"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    rows: tuple[Row, ...]
    form: Form
    plant: str
    out: str | None


def wanted(environment: Mapping[str, str]) -> Wanted:
    rows = load_rows()
    names = [name.strip() for name in environment.get("BENCH_ROWS", "").split(",") if name.strip()]
    is_set = {name: environment.get(name, "") not in ("", "0") for name in ("LONG", "BENCH_SHORT")}
    return Wanted(
        rows=tuple(rows[chosen("BENCH_ROWS", name, list(rows))] for name in (names or rows)),
        form=SHORT if is_set["BENCH_SHORT"] else LONG if is_set["LONG"] else DEFAULT,
        plant=chosen("BENCH_PLANT", environment.get("BENCH_PLANT", ""), PLANTS),
        out=environment.get("BENCH_OUT"),
    )


async def measured(wanted: Wanted, directory: Path) -> dict[str, Measured]:
    """Scene by scene, each in a lab of its own; one that fails is a miss of its rows."""
    found: dict[str, Measured] = {}
    for name in scenes_of(wanted.rows):
        tell(f"… {name}")
        began = time.monotonic()
        try:
            async with Lab(directory / name, plant=wanted.plant) as lab:
                found[name] = await SCENES[name](lab, wanted.form)
        except Exception as error:  # noqa: BLE001 - whatever it is, its rows are missed and the others go on
            traceback.print_exc()
            found[name] = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        found[name]["minutes"] = round((time.monotonic() - began) / 60, 2)
    return found


def run(wanted: Wanted, directory: Path) -> int:
    return report.reported(
        lambda: asyncio.run(measured(wanted, directory)), wanted.rows, wanted.form, out=wanted.out
    )


def main(environment: Mapping[str, str]) -> int:
    return report.main(environment, wanted=wanted, run=run)


if __name__ == "__main__":
    sys.exit(main(os.environ))
