"""What `make bench` makes of its numbers: a goal that is missed is named. Pure."""

import pytest

from tools import bench_start
from tools.bench_start import OURS, PLAIN, Reads, Timings, missed, ratio

QUICK = {"warm, scripted engine": Timings(seconds=[0.3] * 20)}
STARTS = {"SQLite": {1: Timings(seconds=[0.01] * 20), 100: Timings(seconds=[0.2] * 20)}}


def read(*, per_s: float = 100, p99_s: float = 0.01, errors: int = 0) -> Reads:
    return Reads(per_s=[per_s] * 3, timings=Timings(seconds=[0.005, p99_s], errors=errors))


READS = {"SQLite": {PLAIN: read(), OURS: read(per_s=85)}}


def test_goals_that_are_met_are_not_named() -> None:
    assert missed(QUICK, STARTS, READS) == []


@pytest.mark.parametrize(
    "reads",
    [{"per_s": 79.0}, {"p99_s": 0.031}, {"errors": 1}],
    ids=["too few a second", "the slowest too slow", "one that failed"],
)
def test_reads_that_fall_short_are_named(reads: dict[str, float]) -> None:
    assert missed({}, {}, {"SQLite": {PLAIN: read(), OURS: read(**reads)}}) == ["reads, SQLite"]  # type: ignore[arg-type]


def test_starts_that_are_late_or_fail_are_named() -> None:
    late = {"SQLite": {1: Timings(seconds=[0.01] * 18 + [0.03] * 2), 100: Timings(seconds=[0.2], errors=1)}}

    assert missed({}, late, {}) == ["1 clients, SQLite", "100 clients, SQLite"]


def test_a_hundred_milliseconds_more_are_seen() -> None:
    planted = {
        clients: Timings(seconds=[seconds + bench_start.PLANTED_S for seconds in timings.seconds])
        for clients, timings in STARTS["SQLite"].items()
    }

    assert missed({}, {"SQLite": planted}, {}) == ["1 clients, SQLite", "100 clients, SQLite"]


def test_the_ratio_is_of_neighbours_so_that_a_busy_minute_counts_for_both() -> None:
    plain, ours = read(), read()
    plain.per_s, ours.per_s = [100, 50, 100], [90, 45, 90]

    assert ratio(ours, plain) == pytest.approx(0.9)
