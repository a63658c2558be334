"""What exports are made from: who said what, when, and what it is all about."""

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from backend.exports.harmless import plain
from contract.names import ENGINE_HUMAN


# A tuple, not a dataclass: a long meeting has tens of thousands, and a frozen one takes five times as long to make.
class Said(NamedTuple):
    """A final as it is kept. Times are UTC epoch; `speaker_name` and `speaker_identity` as they are shown."""

    sequence: int
    start_ms: int
    end_ms: int
    speaker_identity: str
    speaker_name: str
    language: str
    text: str
    engine: str = ""
    is_corrected: bool = False
    revision: int = 0
    id: str = ""

    @property
    def speaker(self) -> str:
        return self.speaker_name or self.speaker_identity

    @property
    def is_human(self) -> bool:
        return self.engine == ENGINE_HUMAN


@dataclass(frozen=True, kw_only=True)
class Heading:
    """`starts_at_ms` is where the file's time begins (UTC epoch). `language` empty: there are several."""

    room: str
    starts_at_ms: int
    language: str


class Placed(NamedTuple):
    """What was said, where it is in the file: from the file's beginning. `order` is the place among all of them."""

    from_ms: int
    order: int
    to_ms: int
    text: str
    said: Said


_placed = Placed._make  # of a tuple; by its fields it would take twice as long


def placed(
    lines: Iterable[Said], *, starts_at_ms: int, text_of: Callable[[Said], str] = operator.attrgetter("text")
) -> Iterator[Placed]:
    """What was over before the beginning is left out, as is what has no text; what reaches over it begins with it."""
    for order, said in enumerate(lines):
        to_ms = said.end_ms - starts_at_ms
        if to_ms > 0 and (text := plain(text_of(said))):
            from_ms = said.start_ms - starts_at_ms
            yield _placed((from_ms if from_ms > 0 else 0, order, to_ms, text, said))
