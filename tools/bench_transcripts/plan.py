"""What simulated workers hand in, in which disorder, and what the record has to hold in the end. Pure."""

import dataclasses
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from contract.segments import Segment
from contract.transcripts import MAX_BATCH_SEGMENTS, SegmentsBatch

PEOPLE = ("ada", "ben", "cyd", "dan")
NEW_AGENT_FROM = 1000
"""A new agent's sequences begin that far above the last one's."""
STEP_MS, LONG_MS = 40, 900
WINDOW = 3 * MAX_BATCH_SEGMENTS
"""How far a final may come before or after those it was said beside."""
AGAIN = 0.15
"""So many of the finals are in another batch, too."""
TWICE_REVISED = 0.05
CORRECTED = 40
"""In all: one person may not ask more often than 60 times a minute."""
INTERIMS_EVERY = 40
"""Batches to one of interims, which nobody is to hand in."""
PLANTS = ("", "skipped_final", "doubled_final")


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One generation of one session."""

    room: str
    session: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class Handed:
    """A batch, and the session it is of."""

    session: str
    batch: SegmentsBatch


@dataclass(kw_only=True)
class Plan:
    """`finals` are as the agents' newest revisions have them; `corrected`: by a person, to this text."""

    finals: dict[str, list[Segment]]
    handed: list[Handed] = field(default_factory=list)
    corrected: dict[str, str] = field(default_factory=dict)

    def expected(self, room: str) -> list[Segment]:
        """What is to be stored, in order of the sequences."""
        return [
            dataclasses.replace(
                final,
                text=self.corrected[final.id],
                revision=final.revision + 1,
                is_corrected=True,
            )
            if final.id in self.corrected
            else final
            for final in self.finals[room]
        ]


def planned(agents: Sequence[Agent], *, finals: int, began_ms: int, seed: int, plant: str = "") -> Plan:
    """So many finals, of all agents as many; `agents` of one room in the order in which they were there."""
    chance = random.Random(seed)
    plan = Plan(finals={agent.room: [] for agent in agents})
    for number, agent in enumerate(agents):
        count = finals * (number + 1) // len(agents) - finals * number // len(agents)
        said = list(
            _said(agent, after=plan.finals[agent.room], count=count, began_ms=began_ms, chance=chance)
        )
        plan.finals[agent.room] += said
        first = list(_first_revisions(said, chance))
        twice = {final.id for final in first}
        once = [final for final in said if final.id not in twice]
        for final in chance.sample(once, min(CORRECTED // len(agents), len(once))):
            plan.corrected[final.id] = f"corrected {final.text}"
        plan.handed += _handed(agent, [*said, *first], chance)
    chance.shuffle(plan.handed)
    if plant:
        _harm(plan, plant)
    return plan


def _said(
    agent: Agent, *, after: Sequence[Segment], count: int, began_ms: int, chance: random.Random
) -> Iterator[Segment]:
    above = after[-1].sequence + NEW_AGENT_FROM if after else 0
    for number in range(count):
        start_ms = began_ms + STEP_MS * (len(after) + number)
        person = PEOPLE[number % len(PEOPLE)]
        id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        yield Segment(
            id=id,
            track_sid=f"TR_{person}",
            sequence=above + number + 1,
            revision=chance.randint(2, 30),
            is_final=True,
            speaker_identity=person,
            speaker_name=person.title(),
            language="en",
            start_ms=start_ms,
            end_ms=start_ms + LONG_MS,
            engine="embedded",
            text=f"{person} said {id} in {agent.room}",
        )


def _first_revisions(said: Sequence[Segment], chance: random.Random) -> Iterator[Segment]:
    """Of some the revision that another one replaced."""
    for final in said:
        if chance.random() < TWICE_REVISED:
            yield dataclasses.replace(final, revision=final.revision - 1, text=f"not yet {final.text}")


def _handed(agent: Agent, revisions: Sequence[Segment], chance: random.Random) -> Iterator[Handed]:
    """Batches that overlap, their finals out of order within a window; and now and then interims."""
    again = [revision for revision in revisions if chance.random() < AGAIN]
    in_disorder = _within(WINDOW, sorted([*revisions, *again], key=lambda one: one.sequence), chance)
    at = 0
    for number in range(1, len(in_disorder) + 1):
        size = chance.randint(1, MAX_BATCH_SEGMENTS)
        # Not the same one twice in a batch: a worker's spool has one file of each.
        batch = {(one.id, one.revision): one for one in in_disorder[at : at + size]}
        if batch:
            yield _batch(agent, tuple(batch.values()))
        if batch and number % INTERIMS_EVERY == 1:
            yield _batch(agent, tuple(_as_interim(one) for one in list(batch.values())[:5]))
        at += size


def _batch(agent: Agent, segments: tuple[Segment, ...]) -> Handed:
    return Handed(session=agent.session, batch=SegmentsBatch(generation=agent.generation, segments=segments))


def _as_interim(final: Segment) -> Segment:
    return dataclasses.replace(
        final, id=str(uuid.UUID(int=uuid.UUID(final.id).int ^ 1)), is_final=False, text="an interim"
    )


def _within(window: int, segments: Sequence[Segment], chance: random.Random) -> list[Segment]:
    places = sorted(range(len(segments)), key=lambda place: place + chance.random() * window)
    return [segments[place] for place in places]


def _harm(plan: Plan, plant: str) -> None:
    """What the account has to find; it knows nothing of it."""
    some = next(
        final for finals in plan.finals.values() for final in finals if final.id not in plan.corrected
    )
    its_own = next(handed for handed in plan.handed if some in handed.batch.segments)
    if plant == "doubled_final":
        copy = dataclasses.replace(some, id=str(uuid.UUID(int=uuid.UUID(some.id).int ^ 2)))
        plan.handed.append(_with(its_own, (copy,)))
        return
    without = [
        (handed, tuple(one for one in handed.batch.segments if one.id != some.id)) for handed in plan.handed
    ]
    plan.handed = [_with(handed, segments) for handed, segments in without if segments]


def _with(handed: Handed, segments: tuple[Segment, ...]) -> Handed:
    return dataclasses.replace(handed, batch=dataclasses.replace(handed.batch, segments=segments))
