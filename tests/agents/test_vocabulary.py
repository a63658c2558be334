"""What engines are told to expect, whatever people call themselves."""

import pytest

from agents.stt.vocabulary import MAX_NAMES, MAX_TERM_CHARS, MAX_TERMS, vocabulary_of


def test_the_glossary_comes_first_then_the_names_each_once_however_written() -> None:
    words = vocabulary_of(
        glossary=("Roomscribe", "Sankt Pölten", "roomscribe"),
        names=("Ada  Lovelace", "ROOMSCRIBE", "ada lovelace"),
    )

    assert words == ("Roomscribe", "Sankt Pölten", "Ada Lovelace")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Ada\x00\x1b[31m\nLovelace", "Ada [31m Lovelace"),
        ("A\u202eda", "Ada"),
        ("A\ud800da", "A da"),
        ("क\u094d\u200dष", "क\u094d\u200dष"),
        ("x" * (MAX_TERM_CHARS + 1), None),
        (" \t\u200b", None),
        ("", None),
    ],
)
def test_nothing_goes_out_that_nobody_could_say(name: str, wanted: str | None) -> None:
    assert vocabulary_of(glossary=(), names=(name,)) == ((wanted,) if wanted else ())


def test_however_many_people_come_the_glossary_keeps_its_place() -> None:
    people = [f"person {number}" for number in range(1000)]

    assert len(vocabulary_of(glossary=(), names=people)) == MAX_NAMES
    glossary = [f"term {number}" for number in range(MAX_TERMS - 1)]
    assert vocabulary_of(glossary=glossary, names=people) == (*glossary, "person 0")
    assert len(vocabulary_of(glossary=people, names=people)) == MAX_TERMS
