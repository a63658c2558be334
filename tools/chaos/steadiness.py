"""What an outage elsewhere must not change: who transcribes, and that captions go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tools.chaos.lab import Answer, Lab
from tools.chaos.meeting import Meeting

LONGEST_GAP_S = 5.0
"""Between two captions of somebody who talks without end: pauses of the speech and a busy machine included."""
ANSWERS_WITHIN_S = 1.0
LATE_WITHIN_S = 0.15
"""What the laboratory's own client and its thread may add to an answer on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """Taken while all is well; asked later whether it still is the same agent."""

    lab: Lab
    room: str
    since: float
    generation: int
    agents: frozenset[str]

    @classmethod
    async def now(cls, lab: Lab, room: str) -> "Steadiness":
        lease = await asyncio.to_thread(lab.lease_of, room)
        agents = frozenset(agent.sid for agent in await lab.agents_in(room))
        if lease is None or len(agents) != 1:
            raise RuntimeError(f"one live agent was to be there: {lease}, {len(agents)} agents")
        return cls(lab=lab, room=room, since=time.monotonic(), generation=lease[1], agents=agents)

    def departures(self) -> int:
        """By LiveKit's own account; also of an agent that left and came back."""
        return sum(e.at > self.since for e in self.lab.events.of_agents(self.room, "participant_left"))

    async def changes(self) -> list[str]:
        """What is no longer as it was; nothing is well."""
        found = []
        lease = await asyncio.to_thread(self.lab.lease_of, self.room)
        if lease is None:
            found.append("the session has ended")
        elif lease[1] != self.generation:
            found.append(f"generation {self.generation} became {lease[1]}")
        if left := self.departures():
            found.append(f"{left} departures of an agent")
        if frozenset(agent.sid for agent in await self.lab.agents_in(self.room)) != self.agents:
            found.append("LiveKit lists other agents")
        return found

    def text(self, changes: list[str]) -> str:
        return "; ".join(changes) if changes else f"same agent, generation {self.generation}"


@dataclass(kw_only=True)
class Asked:
    """Answers of one kind, gathered through an outage."""

    answers: list[Answer]

    @property
    def statuses(self) -> str:
        codes = sorted({answer.status for answer in self.answers})
        return "/".join(map(str, codes)) or "nothing"

    @property
    def slowest_s(self) -> float:
        return max((answer.took_s for answer in self.answers), default=0.0)

    def are_all(self, is_right: Callable[[Answer], bool]) -> bool:
        return bool(self.answers) and all(map(is_right, self.answers))

    @property
    def are_prompt(self) -> bool:
        return bool(self.answers) and self.slowest_s <= ANSWERS_WITHIN_S + LATE_WITHIN_S


def is_honest_refusal(answer: Answer) -> bool:
    """503 that says when to come again."""
    return answer.status == 503 and answer.headers.get("retry-after", "").isdigit()


async def ask_through(ask: Callable[[], Awaitable[Answer]], *, seconds: float, every_s: float) -> Asked:
    """Ask again and again for so long."""
    began, asked = time.monotonic(), Asked(answers=[])
    while (left_s := began + seconds - time.monotonic()) > 0:
        asked.answers.append(await ask())
        await asyncio.sleep(min(every_s, max(0.0, left_s)))
    return asked


async def until_served(meeting: Meeting, *, timeout_s: float = 60, every_s: float = 0.5) -> float:
    """Start until it is accepted and live; how long that took."""
    began = time.monotonic()
    while not (answer := await meeting.start()).is_2xx:
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"start is still answered {answer.status} after {timeout_s:.0f} s")
        await asyncio.sleep(every_s)
    await meeting.until_state("live", timeout_s=timeout_s)
    return time.monotonic() - began


async def seconds_until(is_so: Callable[[], Awaitable[bool]], *, timeout_s: float) -> float | None:
    """How long until it was so; None: not in time."""
    began = time.monotonic()
    while not await is_so():
        if time.monotonic() - began > timeout_s:
            return None
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def in_time(took_s: float | None, within_s: float) -> bool:
    return took_s is not None and took_s <= within_s


def told_s(took_s: float | None) -> str:
    return "never" if took_s is None else f"{took_s:.1f} s"
