"""What `BENCH=transcripts,history make bench` makes of its numbers, their short forms, and defects that must show."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tools.bench.report import CannotRun
from tools.bench.table import DEFAULT, Measured, judged
from tools.bench_history import __main__ as history
from tools.bench_transcripts import __main__ as transcripts
from tools.bench_transcripts.account import Account, Follower, Stored, accounted
from tools.bench_transcripts.plan import Agent, Plan, planned
from tools.bench_transcripts.rows import ROWS

AGENTS = [
    Agent(room=room, session=f"{room}-{session}", generation=generation)
    for room in ("r1", "r2")
    for session in (1, 2)
    for generation in (1, 2)
]


def plan(*, finals: int = 400, plant: str = "") -> Plan:
    return planned(AGENTS, finals=finals, began_ms=1_000_000, seed=1, plant=plant)


def stored(plan: Plan, room: str = "r1") -> list[Stored]:
    """What a record without fault would hold."""
    return [
        Stored(
            id=final.id,
            change=change,
            sequence=final.sequence,
            start_ms=final.start_ms,
            revision=final.revision,
            speaker_identity=final.speaker_identity,
            text=final.text,
        )
        for change, final in enumerate(plan.expected(room), start=1)
    ]


def account(plan: Plan, lines: list[Stored], **changes: Any) -> Account:
    given = {"replaced": 0, "last_change": len(lines), "seen": {line.id: line for line in lines}, **changes}
    return accounted(plan.expected("r1"), lines, **given)


def test_a_plan_hands_every_final_in_and_some_again_out_of_order_and_in_older_revisions() -> None:
    made = plan()
    handed = [one for each in made.handed for one in each.batch.segments if one.is_final]
    finals = [final for room in made.finals.values() for final in room]

    assert {(one.id, one.revision) for one in handed} >= {(one.id, one.revision) for one in finals}
    assert len(handed) > 1.1 * len(finals) and len(finals) == 400
    assert {one.id for one in handed} == {one.id for one in finals}
    assert any(one.text.startswith("not yet") for one in handed)
    assert any(not one.is_final for each in made.handed for one in each.batch.segments)
    assert len(made.corrected) == 40
    assert all(len(each.batch.segments) <= 100 for each in made.handed)


def test_a_record_without_fault_is_whole() -> None:
    assert account(plan(), stored(plan())).is_whole


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda lines: lines[1:], {"lost": 1, "misnumbered": 1}),
        (lambda lines: [*lines, dataclasses.replace(lines[0], id="other")], {"doubled": 1, "strange": 1}),
        (lambda lines: [dataclasses.replace(lines[0], text="not yet"), *lines[1:]], {"stale": 1}),
        (lambda lines: [dataclasses.replace(lines[0], sequence=90), *lines[1:]], {"disordered": 1}),
        (lambda lines: [dataclasses.replace(lines[0], change=2), *lines[1:]], {"misnumbered": 1}),
    ],
    ids=["lost", "doubled", "stale", "out of order", "a number twice"],
)
def test_a_defect_is_counted(harm: Any, found: dict[str, int]) -> None:
    lines = stored(plan())
    harmed = harm(lines)
    seen = account(plan(), harmed, last_change=len(lines))
    assert {name: getattr(seen, name) for name in found} == found
    assert not seen.is_whole


def test_a_line_that_the_reader_has_otherwise_is_missed() -> None:
    lines = stored(plan())
    seen = {line.id: line for line in lines[1:]}
    assert account(plan(), lines, seen=seen).missed == 1


@pytest.mark.parametrize(
    ("changes", "next", "wrong"), [((3, 5), 5, 0), ((2, 5), 5, 1), ((5, 3), 5, 1), ((3,), 2, 1)]
)
def test_a_reader_notes_changes_that_are_not_beyond_its_cursor(
    changes: tuple[int, ...], next: int, wrong: int
) -> None:
    line = stored(plan())[0]
    reader = Follower(cursor=2)
    reader.take([dataclasses.replace(line, change=change) for change in changes], next=next)
    assert reader.wrong == wrong


# Verdicts


def finals(**changes: int) -> Measured:
    answers = {"200": 4, "503": 1}
    counts = {"misread": 0, "reads": 9, "batches": 4, "corrected": 1, "kills": 1, "database": 1, "backend": 1}
    return {"account": {"finals": 50, **changes}, "seconds": 3.0, "answers": answers, **counts}


RECORD = {"seen": 50, "lost": 0, "doubled": 0}


@pytest.mark.parametrize(
    ("row", "met", "missed"),
    [
        ("P12-stored", finals(), finals(lost=1)),
        ("P12-stored", finals(), finals() | {"misread": 1}),
        (
            "P13",
            {"lags_s": [0.05] * 200, "record": RECORD, "words": ""},
            {"lags_s": [0.05] * 180 + [0.3] * 20, "record": RECORD, "words": ""},
        ),
        (
            "P13-kills",
            {"record": RECORD, "kills": 6, "unsent": 2},
            {"record": RECORD | {"lost": 1}, "kills": 6, "unsent": 2},
        ),
        (
            "P13-kills",
            {"record": RECORD, "kills": 6, "unsent": 2},
            {"record": RECORD, "kills": 6, "unsent": 0},
        ),
    ],
)
def test_a_goal_is_met_or_missed(row: str, met: Measured, missed: Measured) -> None:
    scene = ROWS[row].scene
    assert judged(ROWS[row], {scene: met}, DEFAULT).ok
    assert not judged(ROWS[row], {scene: missed}, DEFAULT).ok


def read(*, page_ms: float = 10, speed: float = 20, grown: float = 1) -> Measured:
    exports = {
        name: {"mb_per_s": [speed], "grown_mb": [grown], "mb": [1.0]}
        for name in ("txt", "vtt", "srt", "json")
    }
    exports["plain SQL"] = {"mb_per_s": [30.0], "grown_mb": [], "mb": []}
    return {
        "reads_ms": {"page": [page_ms] * 20},
        "exports": exports,
        "rooms": 1,
        "lines": 1,
        "gigabytes": 1.0,
    }


@pytest.mark.parametrize("harm", [{"page_ms": 60}, {"speed": 9}, {"grown": 21}])
def test_a_slow_page_a_slow_export_and_a_large_one_are_misses(harm: dict[str, float]) -> None:
    assert all(judged(row, {"history": read()}, DEFAULT).ok for row in history.ROWS)
    assert not all(judged(row, {"history": read(**harm)}, DEFAULT).ok for row in history.ROWS)


@pytest.mark.parametrize("environment", [{"BENCH_ROWS": "P99"}, {"BENCH_PLANT": "luck"}])
def test_a_wish_nobody_knows_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(CannotRun):
        transcripts.wanted(environment)


# The short forms


def bench(directory: Path, **environment: str) -> int:
    return transcripts.main(
        {"BENCH_ROWS": "P12-stored", "BENCH_FINALS": "600", "BENCH_DIR": str(directory), **environment}
    )


@pytest.mark.timeout(120)
def test_600_finals_survive_killed_workers_a_database_and_a_backend_that_go_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path) == 0, capsys.readouterr().out


@pytest.mark.timeout(120)
def test_a_final_that_no_worker_hands_in_is_a_miss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path, BENCH_PLANT="skipped_final", BENCH_FINALS="100") == 1
    assert "1 lost" in capsys.readouterr().out


@pytest.mark.timeout(180)
def test_a_history_of_ten_rooms_is_read_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How fast is told and not judged: the machine is busy."""
    history.main({"BENCH_ROOMS": "10", "BENCH_READS": "20", "BENCH_DIR": str(tmp_path)})
    told = capsys.readouterr().out
    assert "10 rooms, 100000 lines" in told and "srt" in told
