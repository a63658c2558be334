"""The wire form of captions, as the browser's tests read it too."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract import names
from contract.errors import ContractError
from contract.segments import MAX_TEXT_CHARS, Segment

GOLDEN = json.loads((Path(__file__).parent / "golden/segments.json").read_text())
INTERIM = GOLDEN["interim"]


def written_out(text: str | dict[str, Any]) -> str:
    return text if isinstance(text, str) else text["repeat"][0] * text["repeat"][1]


def attributes_with(changes: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**INTERIM["attributes"], **changes}.items() if value is not None}


@pytest.mark.parametrize("case", GOLDEN["accepted"], ids=lambda case: case["why"])
def test_a_caption_keeps_its_wire_form(case: dict[str, Any]) -> None:
    attributes, text = attributes_with(case["attributes"]), written_out(case["text"])
    said = Segment(**{**INTERIM["segment"], **case["segment"], "text": text})

    assert Segment.from_attributes(attributes, text) == said
    assert Segment.from_attributes(said.to_attributes(), text) == said
    known = vars(names).values()
    flags = {names.ATTRIBUTE_BACKLOG: said.is_backlog, names.ATTRIBUTE_CORRECTED: said.is_corrected}
    written = {n: v for n, v in attributes.items() if n in known and n not in flags}
    assert said.to_attributes() == {**written, **{n: "true" for n, is_set in flags.items() if is_set}}


@pytest.mark.parametrize("case", GOLDEN["refused"], ids=lambda case: f"{case['attribute']}: {case['why']}")
def test_a_caption_of_another_shape_is_refused_by_name(case: dict[str, Any]) -> None:
    with pytest.raises(ContractError) as refused:
        Segment.from_attributes(attributes_with({case["attribute"]: case["value"]}), INTERIM["text"])
    assert refused.value.field == case["attribute"]


def test_the_names_on_the_wire_are_those_of_the_contract() -> None:
    of_the_room = {k: v for k, v in vars(names).items() if k.startswith(("TOPIC_", "ATTRIBUTE_"))}
    of_agents = {"TOPIC_BACKLOG": names.TOPIC_BACKLOG}
    assert {**GOLDEN["names"], **of_agents} == of_the_room
    assert GOLDEN["max_text_chars"] == MAX_TEXT_CHARS
