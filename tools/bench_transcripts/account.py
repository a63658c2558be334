"""The record against what was handed in, and what a reader saw of it. Pure."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A line of the record, as the database or a reader has it."""

    id: str
    change: int
    sequence: int
    start_ms: int
    revision: int
    speaker_identity: str
    text: str


@dataclass(kw_only=True)
class Follower:
    """Reads what has changed, from cursor to cursor, as a page does."""

    lines: dict[str, Stored] = field(default_factory=dict)
    cursor: int = 0
    reads: int = 0
    wrong: int = 0
    """Changes not above the cursor, not in order or told twice; a cursor that went back or past what was told."""

    def take(self, lines: Sequence[Stored], *, next: int) -> None:
        changes = [self.cursor, *(line.change for line in lines)]
        self.wrong += sum(later <= earlier for earlier, later in itertools.pairwise(changes))
        self.wrong += next < changes[-1]
        self.lines.update({line.id: line for line in lines})
        self.cursor, self.reads = next, self.reads + 1


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is wrong with the record of one meeting, or of several."""

    finals: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    """In another revision, or with another text, than the newest."""
    disordered: int = 0
    strange: int = 0
    """Lines of nothing that was said to its end: interims."""
    misnumbered: int = 0
    """Changes that two lines have, or that no revision has."""
    missed: int = 0
    """Lines that the reader does not have as they are."""

    @property
    def is_whole(self) -> bool:
        return self.finals > 0 and not any(count for name, count in vars(self).items() if name != "finals")

    def __add__(self, other: "Account") -> "Account":
        return Account(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in vars(self).items() if name != "finals")


def accounted(
    expected: Sequence[Segment],
    stored: Sequence[Stored],
    *,
    replaced: int,
    last_change: int,
    seen: Mapping[str, Stored],
) -> Account:
    """Of one meeting; `replaced` revisions are kept as history, `seen` is what its reader ended with."""
    of_id = {final.id: final for final in expected}
    by_id: dict[str, list[Stored]] = defaultdict(list)
    for line in stored:
        by_id[line.id].append(line)
    # Under whatever id: the same words of the same person are there once.
    words = Counter((line.speaker_identity, line.text) for line in stored)
    return Account(
        finals=len(expected),
        lost=sum(id not in by_id for id in of_id),
        doubled=sum(count - 1 for count in words.values()),
        stale=sum((line.revision, line.text) != _newest(of_id, line) for line in stored if line.id in of_id),
        disordered=_disordered(expected, stored),
        strange=sum(id not in of_id for id in by_id),
        misnumbered=_misnumbered(stored, replaced=replaced, last_change=last_change),
        missed=len(set(stored) ^ set(seen.values())),
    )


def _newest(of_id: Mapping[str, Segment], line: Stored) -> tuple[int, str]:
    return of_id[line.id].revision, of_id[line.id].text


def _disordered(expected: Sequence[Segment], stored: Iterable[Stored]) -> int:
    """Of each person, by the record's own order against that in which they spoke."""
    place = {final.id: number for number, final in enumerate(expected)}
    of_person: dict[str, list[int]] = defaultdict(list)
    for line in sorted(stored, key=lambda line: (line.sequence, line.start_ms)):
        if line.id in place:
            of_person[line.speaker_identity].append(place[line.id])
    return sum(
        later < earlier for places in of_person.values() for earlier, later in itertools.pairwise(places)
    )


def _misnumbered(stored: Sequence[Stored], *, replaced: int, last_change: int) -> int:
    """Each stored revision took the next number; those of replaced ones are gone with them."""
    changes = {line.change for line in stored}
    beyond = sum(not 0 < change <= last_change for change in changes)
    return (len(stored) - len(changes)) + beyond + abs(last_change - len(stored) - replaced)
