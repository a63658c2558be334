"""What is said of a transcript between workers and backend, as both of them write and read it."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract import shapes, transcripts, workers
from contract.errors import ContractError

GOLDEN = json.loads((Path(__file__).parent / "golden/transcripts.json").read_text())
MESSAGES: dict[str, Any] = GOLDEN["messages"]


def kind_of(message: str) -> type[Any]:
    kind: type[Any] = getattr(transcripts, message, None) or getattr(workers, message)
    return kind


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_keeps_its_wire_form(message: str) -> None:
    read = shapes.from_json(kind_of(message), json.dumps(MESSAGES[message]))

    assert json.loads(shapes.to_json(read)) == MESSAGES[message]


@pytest.mark.parametrize("message", MESSAGES)
def test_what_an_older_side_leaves_out_and_what_a_newer_one_adds_are_no_fault(message: str) -> None:
    left_out = GOLDEN["without"][message]
    less = {name: value for name, value in MESSAGES[message].items() if name not in left_out}

    assert shapes.from_value(kind_of(message), {**less, "new": 1})
    for name in less:
        with pytest.raises(ContractError, match=name):
            shapes.from_value(kind_of(message), {n: v for n, v in less.items() if n != name})


@pytest.mark.parametrize("case", GOLDEN["refused"], ids=lambda case: f"{case['message']}.{case['field']}")
def test_what_is_of_another_kind_is_refused_by_name(case: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=case["field"]):
        shapes.from_value(
            kind_of(case["message"]), {**MESSAGES[case["message"]], case["field"]: case["value"]}
        )


def test_a_batch_holds_as_many_as_was_agreed() -> None:
    assert GOLDEN["max_batch_segments"] == transcripts.MAX_BATCH_SEGMENTS
