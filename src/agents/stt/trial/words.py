"""How far what was understood is from what was said."""

import re

MOST_WORDS = 500
"""Of what was understood: an engine may say anything, and the comparison takes their number squared."""


def word_error_rate(said: str, understood: str) -> float:
    """Words to change, to add and to take away, for each that was said; case and marks do not count."""
    wanted, found = _words(said), _words(understood)[:MOST_WORDS]
    row = list(range(len(found) + 1))
    for number, word in enumerate(wanted, start=1):
        before, row = row, [number]
        for place, other in enumerate(found):
            row.append(min(before[place] + (word != other), before[place + 1] + 1, row[place] + 1))
    return row[-1] / len(wanted)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
