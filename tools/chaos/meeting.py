"""A meeting in the laboratory: people who talk without end, and one who notes every caption."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

import jiwer

from tests.support import clips
from tests.support.people import Caption, Speaker, Viewer
from tools.chaos.lab import Answer, Lab

VOICES = ("slt", "rms", "awb", "kal16")
PAUSE_S = 0.8
"""Between two clips: long enough for a final, as between sentences."""
NEW_AGENT_FROM = 500
"""A new generation's sequences begin 1000 after the last that was reported; a viewer may have seen a few more."""
WORDS_IN_A_ROW = 4
LEAST_OF_A_ROUND, MOST_OF_A_ROUND = 0.75, 1.25


@dataclass(kw_only=True)
class Said:
    """One clip, said once by one person (monotonic)."""

    by: str
    voice: str
    began_at: float
    ended_at: float | None = None

    @property
    def words(self) -> list[str]:
        return clips.words(self.voice).split()


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """How what was said and what the finals hold compare; see docs/how-to/chaos.md."""

    rounds: int
    lost: int
    doubled: int
    error_rate: float

    @property
    def is_whole(self) -> bool:
        return self.rounds > 0 and not self.lost and not self.doubled

    def __str__(self) -> str:
        return (
            f"{self.lost} lost and {self.doubled} doubled of {self.rounds} sentences "
            f"({self.error_rate:.0%} of their words misheard)"
        )


class Meeting:
    """`async with Meeting(lab) as meeting:`; nobody talks before `talk()`."""

    def __init__(self, lab: Lab, *, room: str | None = None, people: Sequence[str] = ("ada",)) -> None:
        self.lab, self.room = lab, room or lab.new_room()
        self.viewer = Viewer(lab.livekit, self.room)
        self.speakers = tuple(Speaker(lab.livekit, self.room, person) for person in people)
        self.said: list[Said] = []
        self._talking: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Meeting":
        try:
            for person in (self.viewer, *self.speakers):
                await self._open.enter_async_context(person)  # type: ignore[arg-type]
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)
        await self._open.aclose()

    @property
    def captions(self) -> list[Caption]:
        return self.viewer.captions

    # What people do

    async def start(self) -> Answer:
        """Subtitles on, by the first speaker."""
        return await self.lab.start_subtitles(self.room, self.speakers[0].identity)

    async def stop(self) -> Answer:
        return await self.lab.stop_subtitles(self.room, self.speakers[0].identity)

    async def state(self) -> dict[str, object]:
        return await self.lab.state(self.room, self.speakers[0].identity)

    def talk(self, *, only: str | None = None) -> None:
        """Everybody, or one more person, from now on: clip after clip, each beginning with another."""
        self._is_over.clear()
        for number, speaker in enumerate(self.speakers):
            if only not in (None, speaker.identity):
                continue
            voices = itertools.cycle(VOICES[number % 4 :] + VOICES[: number % 4])
            self._talking.append(asyncio.create_task(self._talk(speaker, voices), name="talking"))

    async def hush(self) -> None:
        """Everybody ends the clip they are at."""
        self._is_over.set()
        await asyncio.gather(*self._talking)
        self._talking.clear()

    async def begin(self, *, timeout_s: float = 30) -> float:
        """Start, wait until it is live, talk, wait for the first caption; how long the start took to live."""
        began = time.monotonic()
        answer = await self.start()
        if not answer.is_2xx:
            raise RuntimeError(f"start was answered {answer.status}: {answer.body}")
        await self.until_state("live", timeout_s=timeout_s)
        took_s = time.monotonic() - began
        self.talk()
        await self.caption_after(time.monotonic(), timeout_s=timeout_s)
        return took_s

    async def _talk(self, speaker: Speaker, voices: "itertools.cycle[str]") -> None:
        while not self._is_over.is_set():
            said = Said(by=speaker.identity, voice=next(voices), began_at=time.monotonic())
            self.said.append(said)
            await speaker.say(clips.clip(said.voice))
            said.ended_at = time.monotonic()
            await speaker.say(clips.silence(PAUSE_S))

    # What is seen

    async def until_state(self, *states: str, timeout_s: float = 15, every_s: float = 0.1) -> float:
        """Until REST says one of them; how long it took. Mind the 60 requests a minute of one person: GETs are free."""
        began = time.monotonic()
        seen: object = None
        while (seen := (await self.state()).get("state")) not in states:
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(f"state is {seen}, not {' or '.join(states)}, after {timeout_s:.0f} s")
            await asyncio.sleep(every_s)
        return time.monotonic() - began

    async def caption_after(self, at: float, *, timeout_s: float = 15) -> float:
        """When the first caption after `at` came."""
        return (await self._caption(lambda c: c.at > at, timeout_s=timeout_s)).at

    def highest_sequence(self) -> int:
        return max((c.segment.sequence for c in self.captions), default=0)

    async def caption_of_a_new_agent(self, *, above: int, timeout_s: float = 30) -> float:
        """When the first caption came of an agent that took over after sequence `above` was the highest.

        Its sequences tell, or a segment nobody has seen yet once the next agent has joined.
        """
        since, known = time.monotonic(), {c.segment.id for c in self.captions}

        def is_of_a_new_agent(caption: Caption) -> bool:
            segment = caption.segment
            if segment.is_backlog:
                return False
            joins = self.lab.events.of_agents(self.room, "participant_joined")
            has_joined = any(since < join.at < caption.at for join in joins)
            return segment.sequence > above + NEW_AGENT_FROM or (has_joined and segment.id not in known)

        return (await self._caption(is_of_a_new_agent, timeout_s=timeout_s)).at

    def sequences_twice(self) -> int:
        """Sequences that more than one segment has: none, whoever gave them out."""
        segments = {(c.segment.sequence, c.segment.id) for c in self.captions}
        return len(segments) - len({sequence for sequence, _ in segments})

    def last_caption_before(self, at: float) -> float | None:
        return max((c.at for c in self.captions if c.at <= at), default=None)

    def first_caption_after(self, at: float) -> float | None:
        return min((c.at for c in self.captions if c.at > at), default=None)

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time without a caption while somebody spoke continuously, pauses of the speech included."""
        moments = [since, *sorted(c.at for c in self.captions if since < c.at < until), until]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def longest_unheard(self, since: float, until: float) -> float:
        """The most that was said without a caption coming: as `longest_gap`, but nobody captions a pause."""
        moments = [since, *sorted(c.at for c in self.captions if since < c.at < until), until]
        return max(self._spoken_s(earlier, later) for earlier, later in itertools.pairwise(moments))

    def _spoken_s(self, since: float, until: float) -> float:
        overlaps = (min(until, said.ended_at or until) - max(since, said.began_at) for said in self.said)
        return sum(max(0.0, overlap) for overlap in overlaps)

    def captions_between(self, since: float, until: float) -> int:
        return sum(since < c.at <= until for c in self.captions)

    async def settle(self, *, timeout_s: float = 10, then_s: float = 1.5) -> None:
        """Until every final of what was said is there, or late; then what comes twice has time to come."""
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.integrity().lost or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(then_s)

    def integrity(self, *, by_sequence: bool = False) -> Integrity:
        """Of every clip said to its end, against the finals that came; call it after `hush` and `settle`.

        Finals count in the order of their times, or of their sequences where times are not to be trusted.
        """
        totals = [compare(*self._words_of(speaker.identity, by_sequence)) for speaker in self.speakers]
        rounds = sum(total.rounds for total in totals)
        return Integrity(
            rounds=rounds,
            lost=sum(total.lost for total in totals),
            doubled=sum(total.doubled for total in totals),
            error_rate=sum(total.error_rate * total.rounds for total in totals) / max(1, rounds),
        )

    def _words_of(self, identity: str, by_sequence: bool) -> tuple[list[list[str]], list[str]]:
        rounds = [said.words for said in self.said if said.by == identity and said.ended_at is not None]
        finals = [c.segment for c in self.captions if c.sender == identity and c.segment.is_final]
        in_order = sorted(
            (f for f in finals if not f.is_backlog),
            key=lambda f: (0 if by_sequence else f.start_ms, f.sequence),
        )
        return rounds, [word for final in in_order for word in final.text.lower().split()]

    async def _caption(self, is_it: Callable[[Caption], bool], *, timeout_s: float) -> Caption:
        def first() -> Caption | None:
            return next((caption for caption in self.captions if is_it(caption)), None)

        try:
            await self.viewer.until(lambda _: first(), timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"no such caption in {timeout_s:g} s") from None
        found = first()
        assert found is not None
        return found


def compare(rounds: list[list[str]], understood: list[str]) -> Integrity:
    """Words are aligned over everything one person said, so that a final may end or begin anywhere."""
    said = [word for words in rounds for word in words]
    if not said:
        return Integrity(rounds=0, lost=0, doubled=0, error_rate=0.0)
    if not understood:
        return Integrity(rounds=len(rounds), lost=len(rounds), doubled=0, error_rate=1.0)
    aligned = jiwer.process_words(" ".join(said), " ".join(understood))
    round_of = [number for number, words in enumerate(rounds) for _ in words]
    shown = Counter[int]()
    for chunk in aligned.alignments[0]:
        length = chunk.hyp_end_idx - chunk.hyp_start_idx
        if chunk.type == "insert":
            shown[round_of[min(chunk.ref_start_idx, len(said) - 1)]] += length
        else:
            for index in range(chunk.ref_start_idx, chunk.ref_start_idx + length):
                shown[round_of[index]] += 1
    shares = [shown[number] / len(words) for number, words in enumerate(rounds)]
    repeated = _more_often_than_said(said, understood)
    too_long = sum(share > MOST_OF_A_ROUND for share in shares)
    return Integrity(
        rounds=len(rounds),
        lost=sum(share < LEAST_OF_A_ROUND for share in shares),
        doubled=max(repeated, too_long),
        error_rate=aligned.wer,
    )


def _more_often_than_said(said: list[str], understood: list[str]) -> int:
    """Runs of words that were shown more often than they were said."""
    often_said, often_shown = Counter(_runs(said)), Counter(_runs(understood))
    return sum(often_said[run] > 0 and count > often_said[run] for run, count in often_shown.items())


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + WORDS_IN_A_ROW]) for at in range(len(words) - WORDS_IN_A_ROW + 1)]
