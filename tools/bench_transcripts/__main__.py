"""`python -m tools.bench_transcripts`: whether the record is whole, and how soon; 0 when every goal is met.

In the environment: BENCH_ROWS=P12-stored,P13 for these alone, BENCH_FINALS=50000, BENCH_LAGS=200 and BENCH_KILLS=6
for another size, LONG=1 for 200 kills, BENCH_SEED=1 for another disorder, BENCH_OUT=file.json for the raw results,
BENCH_DIR to keep the logs in, BENCH_PLANT=skipped_final, doubled_final, late_commit or burnt_spool for a defect that
must show.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bench import report
from tools.bench.lab import tell
from tools.bench.report import chosen
from tools.bench.table import DEFAULT, Measured, Row, judged
from tools.bench_transcripts import finals, lag, plan
from tools.bench_transcripts.rows import ROWS

PLANTS = (*plan.PLANTS, lag.LATE_COMMIT, lag.BURNT_SPOOL)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    rows: tuple[Row, ...]
    finals: int
    faults: finals.Faults
    lags: int
    kills: int
    seed: int
    plant: str
    out: str | None


def wanted(environment: Mapping[str, str]) -> Wanted:
    names = [name.strip() for name in environment.get("BENCH_ROWS", "").split(",") if name.strip()]
    is_long = environment.get("LONG", "") not in ("", "0")
    count = int(environment.get("BENCH_FINALS", "50000"))
    return Wanted(
        rows=tuple(ROWS[chosen("BENCH_ROWS", name, list(ROWS))] for name in (names or ROWS)),
        finals=count,
        faults=finals.faults_for(count),
        lags=int(environment.get("BENCH_LAGS", "200")),
        kills=int(environment.get("BENCH_KILLS", "200" if is_long else "6")),
        seed=int(environment.get("BENCH_SEED", "1")),
        plant=chosen("BENCH_PLANT", environment.get("BENCH_PLANT", ""), PLANTS),
        out=environment.get("BENCH_OUT"),
    )


async def measured(wanted: Wanted, directory: Path) -> dict[str, Measured]:
    """One that fails is a miss of its row."""
    found: dict[str, Measured] = {}
    scenes = {
        "finals": lambda at: finals.handed_in(
            at, count=wanted.finals, faults=wanted.faults, seed=wanted.seed, plant=wanted.plant
        ),
        "lag": lambda at: lag.commit_lags(at, finals=wanted.lags, plant=wanted.plant),
        "kills": lambda at: lag.killed(at, kills=wanted.kills, seed=wanted.seed, plant=wanted.plant),
    }
    for row in wanted.rows:
        tell(f"… {row.id}: {row.what}")
        try:
            found[row.scene] = await scenes[row.scene](directory / row.scene)
        except Exception as error:  # noqa: BLE001 - whatever it is, its row is missed and the others go on
            traceback.print_exc()
            found[row.scene] = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        tell(f"  {judged(row, found, DEFAULT).text}")
    return found


def run(wanted: Wanted, directory: Path) -> int:
    return report.reported(
        lambda: asyncio.run(measured(wanted, directory)), wanted.rows, DEFAULT, out=wanted.out
    )


def main(environment: Mapping[str, str]) -> int:
    return report.main(environment, wanted=wanted, run=run)


if __name__ == "__main__":
    sys.exit(main(os.environ))
