"""A line of the record as REST says it, as the browser's tests read it too."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from contract import names
from contract.segments import Segment
from tests.contract.test_golden_segments import written_out

GOLDEN = json.loads((Path(__file__).parent / "golden/lines.json").read_text())
RENAMED = {"is_corrected": "corrected"}
UNSAID = {"is_final", "is_backlog"}
"""What is stored is final, and nothing is repeated there."""


@pytest.mark.parametrize("case", GOLDEN["accepted"], ids=lambda case: case["why"])
def test_a_line_says_what_its_segment_does_and_no_more(case: dict[str, Any]) -> None:
    line = {**GOLDEN["line"], **case["line"]}
    said = Segment(**{**GOLDEN["segment"], **case["segment"]})

    of_segment = {
        RENAMED.get(f.name, f.name): getattr(said, f.name) for f in fields(said) if f.name not in UNSAID
    }
    assert said.is_final and not said.is_backlog
    assert line == {**of_segment, "change": line["change"], "human": said.engine == names.ENGINE_HUMAN}


def test_the_golden_lines_cover_both_bounds_of_a_text() -> None:
    [longest] = [case for case in GOLDEN["accepted"] if isinstance(case["line"].get("text"), dict)]
    [longer] = [
        case for case in GOLDEN["refused"] if case["field"] == "text" and isinstance(case["value"], dict)
    ]

    assert len(written_out(longer["value"])) == len(written_out(longest["line"]["text"])) + 1
    assert GOLDEN["engine_human"] == names.ENGINE_HUMAN
