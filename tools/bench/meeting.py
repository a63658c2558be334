"""A room with people and one viewer, and what is measured there block by block."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.bench import usage
from tools.bench.captions import (
    FLOOR,
    Caption,
    Integrity,
    Said,
    SentFinal,
    Utterance,
    final_hops_s,
    integrity,
    shown_after_s,
)
from tools.bench.contestants import Contestant
from tools.bench.lab import Lab, tell
from tools.bench.table import Form, Measured

FOREIGN_LIMIT_PERCENT = 5.0
MOST_REPEATS = 1.0
"""Of blocks that had to be discarded: as many again as there are blocks, then no more."""
PAUSE_S = 1.0
"""Between two utterances of one person."""
LAST_WORDS_S = 2.5
"""From the end of what is said until its finals have been seen, whoever they are by."""


class Meeting:
    """One room."""

    def __init__(self, lab: Lab, *, is_ahead: bool = False) -> None:
        self.lab, self.room = lab, lab.new_room()
        self._is_ahead = is_ahead
        self.people: list[str] = []

    @classmethod
    async def opened(
        cls, lab: Lab, *, people: int, contestants: Iterable[Contestant], is_ahead: bool = False
    ) -> "Meeting":
        """People have joined and are silent; then every contestant's agent has. `is_ahead`: see the crowd."""
        meeting = cls(lab, is_ahead=is_ahead)
        token = lab.livekit.token(meeting.room, "viewer", hidden=True)
        await lab.audience.ask("watch", room=meeting.room, url=lab.livekit.url, token=token)
        await meeting.add(people)
        await asyncio.gather(*(contestant.join(meeting.room) for contestant in contestants))
        return meeting

    async def add(self, people: int) -> None:
        for _ in range(people):
            identity = f"{self.room}-{len(self.people) + 1}"
            token = self.lab.livekit.token(self.room, identity)
            await self.lab.crowd.ask(
                "join", url=self.lab.livekit.url, identity=identity, token=token, is_ahead=self._is_ahead
            )
            self.people.append(identity)

    async def talk(self, *, pause_s: float = PAUSE_S, **script: Any) -> None:
        """Until hushed, each with words of their own: rarely do two finals hold the same."""
        for number, identity in enumerate(self.people):
            seed = number * 5 + int(self.room.rpartition("-")[2])
            await self.lab.crowd.ask("talk", identity=identity, seed=seed, pause_s=pause_s, **script)

    async def take_turns(self, *, seconds: float, pause_s: float) -> None:
        """One after another, never two at once; returns when the last turn has ended."""
        await self.lab.crowd.ask(
            "take_turns", timeout_s=seconds + 60, identities=self.people, seconds=seconds, pause_s=pause_s
        )

    async def hush(self) -> None:
        await self.lab.crowd.ask("hush", identities=self.people)

    async def mute(self, is_muted: bool) -> None:
        await self.lab.crowd.ask("mute", identities=self.people, is_muted=is_muted)

    async def closed(self, contestants: Iterable[Contestant]) -> None:
        await asyncio.gather(*(contestant.leave(self.room) for contestant in contestants))
        await self.lab.crowd.ask("leave", identities=self.people)
        await self.lab.audience.ask("unwatch", room=self.room)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of time in which what processes used was measured (monotonic)."""

    since: float
    until: float
    used: usage.Used
    delay_ms: float

    @property
    def is_disturbed(self) -> bool:
        return self.used.foreign_percent > FOREIGN_LIMIT_PERCENT


@dataclass(kw_only=True)
class Gathered:
    """What was said, sent and seen since it was last gathered."""

    words: list[Said] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    captions: dict[str, list[Caption]] = field(default_factory=dict)
    finals: dict[str, list[SentFinal]] = field(default_factory=dict)
    late: int = 0

    @classmethod
    async def now(cls, lab: Lab, *, embedded: bool = False) -> "Gathered":
        told = await lab.crowd.ask("said")
        captions: dict[str, list[Caption]] = {}
        for caption in await lab.audience.ask("seen"):
            captions.setdefault(caption["contestant"], []).append(Caption(**caption))
        return cls(
            words=[Said(**word) for word in told["words"]],
            utterances=[Utterance(**utterance) for utterance in told["utterances"]],
            captions=captions,
            finals=await lab.sent_finals(embedded=embedded),
            late=told["late"],
        )


async def blocks(
    lab: Lab,
    contestants: Mapping[str, Contestant],
    form: Form,
    *,
    what: str,
    delays_ms: Sequence[float] = (0,),
    share: float = 1.0,
) -> list[Block]:
    """As many undisturbed blocks as the form wants, or what could be had; each of a share of the usual time."""
    done: list[Block] = []
    pids = {**{name: each.pid for name, each in contestants.items()}, **lab.surroundings}
    limit = form.blocks + round(form.blocks * MOST_REPEATS)
    while len(done) < limit and sum(not block.is_disturbed for block in done) < form.blocks:
        delay_ms = delays_ms[len(done) % len(delays_ms)]
        await lab.script(delay_ms=delay_ms)
        await asyncio.sleep(form.settle_s)
        meter = await asyncio.to_thread(usage.Meter.now, pids)
        await asyncio.sleep(share * form.block_s)
        used = await asyncio.to_thread(meter.used, pids)
        block = Block(since=meter.at, until=meter.at + used.took_s, used=used, delay_ms=delay_ms)
        done.append(block)
        told = ", ".join(f"{name} {percent:.1f}" for name, percent in used.percent.items())
        note = ", discarded" if block.is_disturbed else ""
        tell(f"  {what}, block {len(done)}: % of a core: {told}; foreign {used.foreign_percent:.1f} %{note}")
        if form.is_short:
            break
    return done


def as_measured(blocks: Sequence[Block], gathered: Gathered | None = None) -> list[Measured]:
    """Each block with what was said in it; words and captions themselves are not kept."""
    return [_measured(block, gathered or Gathered()) for block in blocks]


def _measured(block: Block, gathered: Gathered) -> Measured:
    words = [word for word in gathered.words if block.since <= word.at < block.until]
    openers = {(word.by, word.utterance): word for word in reversed(gathered.words)}.values()
    first_words = set(openers)
    shown = {
        name: shown_after_s(words, captions) for name, captions in gathered.captions.items() if name != FLOOR
    }
    running = [
        word for word in words if word not in first_words and all(word in each for each in shown.values())
    ]
    people_s = len({word.by for word in words}) * (block.until - block.since)
    return {
        "took_s": block.used.took_s,
        "percent": dict(block.used.percent),
        "foreign_percent": block.used.foreign_percent,
        "is_disturbed": block.is_disturbed,
        "delay_ms": block.delay_ms,
        "words": len(words),
        "interims_ms": {
            name: [_added_ms(each[word], block) for word in running] for name, each in shown.items()
        },
        "first_words_ms": {
            name: [_added_ms(late, block) for word, late in each.items() if word in first_words]
            for name, each in shown.items()
        },
        "finals_ms": _finals_ms(block, gathered),
        "captions_per_person_s": {
            name: sum(block.since <= caption.at < block.until for caption in captions) / people_s
            for name, captions in gathered.captions.items()
            if people_s
        },
    }


def _added_ms(seconds: float, block: Block) -> float:
    return round(1000 * seconds - block.delay_ms, 2)


def _finals_ms(block: Block, gathered: Gathered) -> dict[str, list[float]]:
    found = {}
    for name, captions in gathered.captions.items():
        if name == FLOOR:
            hops = [c.at - c.sent_at for c in captions if c.sent_at and block.since <= c.at < block.until]
        else:
            sent = [final for final in gathered.finals.get(name, ()) if block.since <= final.at < block.until]
            hops = final_hops_s(sent, captions)
        found[name] = [round(1000 * hop, 2) for hop in hops]
    return found


def whole(gathered: Gathered, name: str) -> Integrity:
    return integrity(gathered.words, gathered.captions.get(name, []))


def integrity_of(gathered: Gathered, names: Iterable[str]) -> dict[str, Any]:
    return {name: asdict(whole(gathered, name)) for name in names}


async def settled(meeting: Meeting) -> None:
    """Nobody speaks, and what was said has been seen."""
    await meeting.hush()
    await asyncio.sleep(LAST_WORDS_S)
