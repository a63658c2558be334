from collections.abc import Iterator

import pytest

from tools.chaos import table
from tools.chaos.__main__ import CannotRun, wanted
from tools.chaos.table import Needs, Row, Seen, in_laboratories, load_rows, markdown_line, see

PROMISED_ROWS = ("P5", "P6", *(f"F{number}" for number in range(1, 23)))


@pytest.fixture
def a_row() -> Iterator[Row]:
    @table.row("X1", fault="one | two", expected="nothing")
    async def x1(lab: object, *, long: bool, short: bool) -> Seen:
        raise RuntimeError("the lab\nburnt down")

    yield table.ROWS["X1"]
    del table.ROWS["X1"]


async def test_a_row_that_raises_is_a_miss(a_row: Row) -> None:
    seen = await see(a_row, lab=None)  # type: ignore[arg-type]
    assert seen == Seen("RuntimeError: the lab burnt down", False)


def test_a_miss_stands_out_and_no_text_breaks_the_table(a_row: Row) -> None:
    assert markdown_line(a_row, Seen("a | b", False)) == "| X1 | one / two | nothing | a / b | **NO** |"


def test_every_promised_row_is_there() -> None:
    assert set(load_rows()) >= set(PROMISED_ROWS)


def test_rows_with_the_same_needs_share_a_laboratory(a_row: Row) -> None:
    rows = [a_row, Row(**{**vars(a_row), "id": "X2", "needs": Needs(redis=False)}), a_row]
    assert [len(shared) for _, shared in in_laboratories(rows)] == [2, 1]


@pytest.mark.parametrize("environment", [{"CHAOS_ROWS": "P5,F99"}, {"CHAOS_PLANT": "no_tests"}])
def test_a_wish_nobody_knows_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(CannotRun):
        wanted(environment)


def test_the_forms_and_the_rows_are_chosen_by_the_environment() -> None:
    chosen = wanted({"CHAOS_ROWS": "f1, P5", "LONG": "1"})
    assert ([row.id for row in chosen.rows], chosen.long, chosen.short) == (["F1", "P5"], True, False)
