"""Words that engines are told to expect: an event's glossary, and the names of who is in the room. Pure.

People choose their names, so a name is taken for what anybody may have written. Engines have their own dialects of it.
"""

import unicodedata
from collections.abc import Iterable

MAX_TERMS = 250
MAX_NAMES = 50
"""Of these terms; the glossary comes first."""
MAX_TERM_CHARS = 80
JOINERS = "\u200c\u200d"
"""Invisible, but parts of words in some scripts; other invisible marks are not."""


def vocabulary_of(*, glossary: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Each term once, however it is written; what is too long to be one is left out."""
    terms = _unique(glossary)
    people = {key: name for key, name in _unique(names).items() if key not in terms}
    return (*terms.values(), *list(people.values())[:MAX_NAMES])[:MAX_TERMS]


def _unique(terms: Iterable[str]) -> dict[str, str]:
    unique: dict[str, str] = {}
    for term in terms:
        tidy = " ".join("".join(map(_speakable, term)).split())
        if 0 < len(tidy) <= MAX_TERM_CHARS:
            unique.setdefault(tidy.casefold(), tidy)
    return unique


def _speakable(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs"):
        return " "
    return "" if category == "Cf" and character not in JOINERS else character
