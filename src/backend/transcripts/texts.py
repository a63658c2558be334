"""What a person wrote, as it is kept: one line, nothing in it that steers the text around it."""

import re
import unicodedata

from backend.errors import InvalidBody
from backend.tokens.names import BIDI_CONTROLS, FORBIDDEN_CATEGORIES
from contract.segments import MAX_TEXT_CHARS

SPACES = re.compile(r"\s+")


def cleaned(text: str) -> str:
    """Blanks and breaks become one space each; control characters and overrides of direction go."""
    spaced = SPACES.sub(" ", text)
    kept = (
        c for c in spaced if c not in BIDI_CONTROLS and unicodedata.category(c) not in FORBIDDEN_CATEGORIES
    )
    return SPACES.sub(" ", "".join(kept)).strip()


def words_of(text: str) -> str:
    """As `cleaned`. Raises InvalidBody where nothing is left to be seen, or too much."""
    words = cleaned(text)
    is_visible = any(unicodedata.category(c)[0] not in "ZC" for c in words)
    if not is_visible or len(words) > MAX_TEXT_CHARS:
        raise InvalidBody
    return words
