"""Whatever engines do, what was said is captioned once, in order; and in the end nothing is left running.

Each frame of audio carries its own number, and what an engine says of it is one letter for that number: so the
words on a screen tell which audio they are about. Time is counted, not waited for.
"""

import asyncio
import contextlib
import enum
import math
from collections.abc import Sequence as Several
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from agents.audio.clock import AudioClock
from agents.audio.gate import Passage
from agents.audio.pcm import FRAME_MS, FRAME_SAMPLES
from agents.audio.unconfirmed import LIMIT_FRAMES, Unconfirmed
from agents.rooms.breaker import REFUSED_RETRY_S
from agents.rooms.chain import Chain
from agents.rooms.chain import Engine as Link
from agents.rooms.progress import Progress
from agents.rooms.recogniser import Recogniser
from agents.runtime.errors import EngineFull, EngineLost, EngineRefused
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from contract.segments import Segment
from tests.support.engine_double import Engine, Stream, failed
from tests.support.virtual_time import VirtualTimeLoop, run

EPOCH_MS = 1_000_000
FRAME_S = FRAME_MS / 1000
FIRST_LETTER = 0x4E00
"""One of the many thousand that stand in a row."""
LEAST_RETRY_S = 0.2


class End(enum.Enum):
    """What becomes of an engine's stream."""

    WORKS = "works"
    REFUSED = "refused"
    FULL = "full"
    LOST = "lost"
    BREAKS = "breaks"
    CLOSES = "closes"
    STOPS_SPEAKING = "stops speaking"
    STOPS_READING = "stops reading"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Of one stream of an engine."""

    end: End
    after_frames: int
    connect_s: float
    retry_after_s: float | None
    interim_every: int
    """In frames; 0: never."""
    final_every: int
    """In frames; 0: only at a pause."""
    lags_frames: int
    """How far from the newest audio its finals are."""
    answers_after_s: float
    hears_words: bool = True


GOOD = Plan(
    end=End.WORKS,
    after_frames=0,
    connect_s=0.0,
    retry_after_s=None,
    interim_every=10,
    final_every=0,
    lags_frames=0,
    answers_after_s=0.0,
)
PLANS = st.builds(
    Plan,
    end=st.sampled_from(End),
    after_frames=st.sampled_from([0, 0, 1, 5, 50, 130, 300]),
    connect_s=st.sampled_from([0.0, 0.05, 2.5]),
    retry_after_s=st.sampled_from([None, 1.0, 8.0]),
    interim_every=st.sampled_from([0, 1, 7]),
    final_every=st.sampled_from([0, 20, 33]),
    lags_frames=st.sampled_from([0, 4, 29]),
    answers_after_s=st.sampled_from([0.0, 0.3]),
)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What somebody says, and how long they are silent then."""

    frames: int
    pause_frames: int
    at_once: bool
    """As after a stall: all frames come together."""


UTTERANCES = st.builds(
    Utterance,
    frames=st.integers(1, 260),
    pause_frames=st.sampled_from([1, 30, 100, 400]),
    at_once=st.booleans(),
)
SENTENCE = Utterance(frames=100, pause_frames=1, at_once=False)
SPEECH = st.lists(UTTERANCES, min_size=1, max_size=5)


@dataclass(kw_only=True)
class Try:
    """One stream of an engine as seen from the engine."""

    at: float
    is_probe: bool
    has_said: bool = False
    is_over: bool = False
    failed_at: float | None = None
    """When it failed without having said anything."""
    asked_s: float = LEAST_RETRY_S
    """How long it is to be left alone then."""

    def failed(self) -> None:
        """Or was cut off for its silence."""
        if not self.has_said:
            self.failed_at = asyncio.get_running_loop().time()

    def over(self) -> None:
        """Its stream has come to its end."""
        self.is_over = True

    @property
    def may_be_tried_at(self) -> float:
        return (self.failed_at or 0.0) + self.asked_s


@dataclass
class Witness:
    """Remembers what engines said, and what is to be objected to in how they were treated."""

    said: set[tuple[str, str]] = field(default_factory=set)
    tries: dict[str, list[Try]] = field(default_factory=dict)
    engines: list["Numbered"] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)

    def tried(self, name: str, *, is_probe: bool) -> Try:
        """A stream is opened; a probe is one while the engine's breaker is open."""
        tries = self.tries.setdefault(name, [])
        now = asyncio.get_running_loop().time()
        if is_probe:
            if any(t.is_probe and not (t.has_said or t.is_over) for t in tries):
                self.objections.append("two probes at once")
            if now < self._may_be_tried_at(tries) - 1e-6:
                self.objections.append("tried too soon")
        tries.append(Try(at=now, is_probe=is_probe))
        return tries[-1]

    def _may_be_tried_at(self, tries: list[Try]) -> float:
        """By the last probe, or by whichever stream's failure has opened the breaker."""
        closed_at = max((t.at for t in tries if t.is_probe and t.has_said), default=0.0)
        failed = [t for t in tries if t.failed_at is not None and t.failed_at >= closed_at]
        causes = [t for t in failed if t.is_probe][-1:] or failed
        return min((t.may_be_tried_at for t in causes), default=math.inf)


async def _never(_: Stream) -> None:
    raise AssertionError("its streams go by their plans")


class Numbered(Engine):
    """Hears the numbers of frames."""

    def __init__(self, name: str, plans: Several[Plan], witness: Witness) -> None:
        super().__init__(_never)
        self.name, self._plans, self._witness = name, list(plans), witness
        self.key = f"{name} {len(witness.engines)}" if name in {e.name for e in witness.engines} else name
        """Others may have had its name."""
        self.chain: Chain | None = None
        self.is_closed = False
        witness.engines.append(self)

    async def aclose(self) -> None:
        self.is_closed = True
        if not all(t.is_over for t in self._witness.tries.get(self.key, [])):
            self._witness.objections.append("closed while it was in use")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> Stream:
        assert self.chain is not None
        plan = self._plans.pop(0) if self._plans else GOOD
        mine = next((link.engine for link in self.chain._links if link.engine.stt is self), None)
        attempt = self._witness.tried(self.key, is_probe=mine is not None and self.chain.is_avoided(mine))
        if self.is_closed:
            self._witness.objections.append("used after it was closed")

        async def behaviour(stream: Stream) -> None:
            try:
                await _Session(self.name, stream, plan, attempt, self._witness).run()
            except _Closed:
                attempt.failed()
            except asyncio.CancelledError:
                if plan.end in (End.STOPS_SPEAKING, End.STOPS_READING):
                    attempt.failed()
                raise
            except Exception:
                attempt.failed()
                raise

        self.streams.append(Stream(self, behaviour, conn_options))
        self.streams[-1]._task.add_done_callback(lambda _: attempt.over())
        return self.streams[-1]


class _Session:
    """One stream after its plan."""

    def __init__(self, engine: Numbered, stream: Stream, plan: Plan, attempt: Try, witness: Witness) -> None:
        self._engine, self._stream, self._plan = engine, stream, plan
        self._attempt, self._witness = attempt, witness
        self._letters = ""
        self._said = 0

    async def run(self) -> None:
        plan = self._plan
        await asyncio.sleep(plan.connect_s)
        if plan.after_frames == 0:
            await self._end()
        async for frame in self._stream.given():
            if frame is None:
                await asyncio.sleep(plan.answers_after_s)
                self._say_final(len(self._letters))
                self._attempt.has_said = True
                self._stream.pause()
                continue
            self._letters += chr(FIRST_LETTER + int(frame[0]))
            heard = len(self._letters)
            if plan.final_every and heard - self._said >= plan.final_every + plan.lags_frames:
                self._say_final(heard - plan.lags_frames)
            if plan.interim_every and heard % plan.interim_every == 0 and heard > self._said:
                self._say(self._letters[self._said :], is_final=False, until=heard)
            if heard == plan.after_frames:
                await self._end()

    def _say_final(self, until: int) -> None:
        if until > self._said:
            self._say(self._letters[self._said : until], is_final=True, until=until)
            self._said = until

    def _say(self, text: str, *, is_final: bool, until: int) -> None:
        self._attempt.has_said = True
        text = text if self._plan.hears_words else ""
        self._witness.said.add((self._engine, text))
        since_s = self._said * FRAME_S
        self._stream.say(text, is_final=is_final, since_s=since_s, until_s=until * FRAME_S)

    async def _end(self) -> None:
        match self._plan.end:
            case End.WORKS:
                return
            case End.REFUSED:
                self._attempt.asked_s = REFUSED_RETRY_S
                raise failed(EngineRefused("no"))
            case End.FULL:
                self._attempt.asked_s = self._plan.retry_after_s or LEAST_RETRY_S
                raise failed(EngineFull("full", retry_after_s=self._plan.retry_after_s))
            case End.LOST:
                raise failed(EngineLost("lost"))
            case End.BREAKS:
                raise ValueError("a plugin's own mistake")
            case End.CLOSES:
                raise _Closed
            case End.STOPS_SPEAKING:
                async for _ in self._stream.given():
                    pass
                await asyncio.Event().wait()
            case End.STOPS_READING:
                await asyncio.Event().wait()


class _Closed(Exception):
    """The stream ends as if it had been asked to."""


class Person:
    """One microphone, from the gate on, and the screen its words come to."""

    def __init__(self, name: str, chain: Chain) -> None:
        ids = count()
        self.shown: list[Segment] = []
        self.fed = ""
        self._number = 0
        self._clock = AudioClock()
        self.unconfirmed = Unconfirmed()
        self._segmenter = Segmenter(
            speaker=lambda: Speaker(identity=name, name=name),
            track_sid=f"TR_{name}",
            engine="none",
            language=lambda: "en",
            sequence=Sequence(1),
            new_id=lambda: f"{name}-{next(ids)}",
        )
        self.recogniser = Recogniser(
            chain=chain,
            unconfirmed=self.unconfirmed,
            segmenter=self._segmenter,
            clock=self._clock,
            now_ms=lambda: 0.0,
            language=lambda: "en",
            deliver=self._deliver,
            progress=Progress(lambda: None),
            on_audio=lambda **_: None,
        )

    async def _deliver(self, segments: Several[Segment]) -> None:
        for segment in segments:
            await asyncio.sleep(0)
            self.shown.append(segment)

    async def says(self, utterances: Several[Utterance]) -> None:
        for utterance in utterances:
            for index in range(utterance.frames):
                self._feed(begins=index == 0, ends=False)
                if not utterance.at_once:
                    await asyncio.sleep(FRAME_S)
            self.unconfirmed.end()
            self.recogniser.audio_came()
            self._number += utterance.pause_frames
            await asyncio.sleep(utterance.pause_frames * FRAME_S)

    def _feed(self, *, begins: bool, ends: bool) -> None:
        number = self._number
        self._number += 1
        self._clock.heard(frames=number + 1, now_ms=EPOCH_MS + (number + 1) * FRAME_MS)
        self.fed += chr(FIRST_LETTER + number)
        frame = np.full(FRAME_SAMPLES, number, np.int16)
        self.unconfirmed.add(Passage(first=number, frames=(frame,), begins=begins, ends=ends))
        self.recogniser.audio_came()

    async def transcribed(self, utterances: Several[Utterance]) -> None:
        """As the pipeline does it."""
        recognising = asyncio.create_task(self.recogniser.run())
        try:
            await self.says(utterances)
            await self.recogniser.finished()
        finally:
            recognising.cancel()
            await asyncio.wait({recognising})
            assert recognising.cancelled(), "it ended by itself"


def room(*plans: Several[Plan]) -> tuple[Chain, Witness]:
    witness = Witness()
    named = zip(("first", "second"), plans, strict=False)
    engines = [Numbered(name, behaviours, witness) for name, behaviours in named]
    loop = asyncio.get_running_loop()
    links = [Link(name=engine.name, stt=engine) for engine in engines]
    chain = Chain(links, on_change=lambda: None, clock=loop.time)
    for engine in engines:
        engine.chain = chain
    return chain, witness


def assert_once_and_in_order(person: Person, witness: Witness) -> None:
    lines: dict[str, list[Segment]] = {}
    for segment in person.shown:
        lines.setdefault(segment.id, []).append(segment)
    assert "".join(line[-1].text for line in lines.values()) == person.fed
    assert [line[0].sequence for line in lines.values()] == list(range(1, len(lines) + 1))
    for line in lines.values():
        assert [s.revision for s in line] == list(range(len(line)))
        assert [s.is_final for s in line] == [False] * (len(line) - 1) + [True]
        assert {s.start_ms for s in line} == {EPOCH_MS + _number(line[-1].text[0]) * FRAME_MS}
        assert line[-1].end_ms == max(EPOCH_MS + (_number(s.text[-1]) + 1) * FRAME_MS for s in line)
        interims = [len(s.text) for s in line[:-1]]
        assert interims == sorted(interims), "words were taken back"
        for segment in line:
            assert (segment.engine, segment.text) in witness.said


def _number(letter: str) -> int:
    return ord(letter) - FIRST_LETTER


async def assert_nothing_is_left(witness: Witness) -> None:
    for _ in range(3):  # what was cancelled takes a turn to end
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(t.is_over for tries in witness.tries.values() for t in tries)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.timers == []


@settings(
    max_examples=150, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    first=st.lists(PLANS, max_size=5),
    second=st.lists(PLANS, max_size=3),
    ada=SPEECH,
    ben=st.just([]) | SPEECH,
)
@example(first=[replace(GOOD, end=End.STOPS_READING)], second=[], ada=[SENTENCE], ben=[])  # and then mutes
def test_what_is_said_is_shown_once_and_in_order_whatever_engines_do(
    first: list[Plan], second: list[Plan], ada: list[Utterance], ben: list[Utterance]
) -> None:
    async def meeting() -> None:
        chain, witness = room(first, second)
        people = [Person("ada", chain), Person("ben", chain)]
        assert all(sum(u.frames for u in said) <= LIMIT_FRAMES for said in (ada, ben))
        async with asyncio.timeout(3600):
            await asyncio.gather(*(p.transcribed(said) for p, said in zip(people, (ada, ben), strict=True)))
        for person in people:
            assert_once_and_in_order(person, witness)
        await assert_nothing_is_left(witness)
        assert witness.objections == []

    run(meeting())


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The chain becomes another; a name that is new is another engine, even if one had it before."""

    after_s: float
    names: tuple[tuple[str, bool], ...]
    plans: list[Plan]


NAMES = st.lists(
    st.tuples(st.sampled_from(["first", "second", "third"]), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda named: named[0],
)
RENEWALS = st.lists(
    st.builds(
        Renewal,
        after_s=st.sampled_from([0.0, 0.01, 0.5, 1.3, 6.0]),
        names=NAMES.map(tuple),
        plans=st.lists(PLANS, max_size=2),
    ),
    max_size=4,
)


async def renew(chain: Chain, renewals: Several[Renewal], witness: Witness) -> None:
    links = {link.engine.name: link.engine for link in chain._links}
    for renewal in renewals:
        await asyncio.sleep(renewal.after_s)
        for name, is_new in renewal.names:
            if is_new or name not in links:
                engine = Numbered(name, renewal.plans, witness)
                engine.chain = chain
                links[name] = Link(name=name, stt=engine)
        links = {name: links[name] for name, _ in renewal.names}
        chain.renew(list(links.values()))


@settings(
    max_examples=150, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow]
)
@given(first=st.lists(PLANS, max_size=2), renewals=RENEWALS, ada=SPEECH, ben=st.just([]) | SPEECH)
def test_what_is_said_is_shown_once_and_in_order_though_the_engines_become_others(
    first: list[Plan], renewals: list[Renewal], ada: list[Utterance], ben: list[Utterance]
) -> None:
    async def meeting() -> None:
        chain, witness = room(first, [])
        people = [Person("ada", chain), Person("ben", chain)]
        closing = asyncio.create_task(chain.close_retired())
        renewing = asyncio.create_task(renew(chain, renewals, witness))
        async with asyncio.timeout(3600):
            await asyncio.gather(*(p.transcribed(said) for p, said in zip(people, (ada, ben), strict=True)))
            await renewing
        for person in people:
            assert_once_and_in_order(person, witness)
        await asyncio.sleep(0.1)
        in_the_chain = {link.engine.stt for link in chain._links}
        assert {e for e in witness.engines if not e.is_closed} == in_the_chain
        closing.cancel()
        await assert_nothing_is_left(witness)
        assert witness.objections == []

    run(meeting())


@settings(
    max_examples=150, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow]
)
@given(first=st.lists(PLANS, max_size=3), ada=SPEECH, ben=SPEECH, turns=st.integers(0, 3000))
def test_who_is_cut_off_at_any_moment_leaves_nothing_and_takes_nobody_elses_words(
    first: list[Plan], ada: list[Utterance], ben: list[Utterance], turns: int
) -> None:
    async def meeting() -> None:
        chain, witness = room(first)
        leaves, stays = Person("ada", chain), Person("ben", chain)
        leaving = asyncio.create_task(leaves.transcribed(ada))
        staying = asyncio.create_task(stays.transcribed(ben))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.after_turns(turns, leaving.cancel)
        async with asyncio.timeout(3600):
            await asyncio.wait({leaving, staying})
        loop.after_turns(0, lambda: None)
        await staying
        assert_once_and_in_order(stays, witness)
        assert witness.objections == []
        await assert_nothing_is_left(witness)

    run(meeting())


@pytest.mark.parametrize("end", End)
def test_each_moment_at_which_somebody_is_cut_off_is_safe(end: End) -> None:
    is_over = False

    async def meeting(turns: int) -> None:
        nonlocal is_over
        chain, witness = room([replace(GOOD, end=end, after_frames=3)])
        saying = Person("ada", chain).transcribed([Utterance(frames=6, pause_frames=1, at_once=False)])
        leaving = asyncio.create_task(saying)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.after_turns(turns, leaving.cancel)
        await asyncio.wait({leaving})
        is_over = not leaving.cancelled()
        loop.after_turns(0, lambda: None)
        await assert_nothing_is_left(witness)

    turns = 0
    while not is_over:
        turns += 1
        run(meeting(turns))
    assert turns > 20


@pytest.mark.parametrize(
    ("end", "times"), [*((End.REFUSED, n) for n in range(9)), *((End.LOST, n) for n in range(18, 36))]
)
def test_when_the_buffer_has_lost_some_of_a_line_what_was_shown_stays_and_nothing_is_shown_twice(
    end: End, times: int
) -> None:
    async def meeting() -> None:
        shown, said = 300, 2000
        speaks = replace(GOOD, end=End.LOST, after_frames=shown)
        chain, witness = room([speaks, *[replace(GOOD, end=end)] * times])
        ada = Person("ada", chain)
        await ada.transcribed([Utterance(frames=said, pause_frames=1, at_once=False)])
        text = "".join({segment.id: segment.text for segment in ada.shown}.values())
        heard_again = min(said, round(witness.tries["first"][-1].at / FRAME_S)) - LIMIT_FRAMES
        lost = said - len(text)
        assert text == ada.fed[:shown] + ada.fed[shown + lost :]
        assert lost == pytest.approx(max(0, heard_again - shown), abs=2)

    run(meeting())


@pytest.mark.parametrize("hears_words", [True, False])
def test_an_engine_that_speaks_only_at_pauses_is_not_taken_for_dead_over_a_long_noise(
    hears_words: bool,
) -> None:
    async def meeting() -> None:
        quiet = replace(GOOD, interim_every=0, hears_words=hears_words)
        chain, witness = room([quiet] * 9)
        ada = Person("ada", chain)
        await ada.transcribed([Utterance(frames=700, pause_frames=30, at_once=False)])
        if hears_words:
            assert_once_and_in_order(ada, witness)
        assert bool(ada.shown) == hears_words
        assert len(witness.tries["first"]) == 1

    run(meeting())


def test_an_engine_that_answers_utterances_is_waited_for_until_they_have_ended() -> None:
    async def meeting() -> None:
        by_request = replace(GOOD, interim_every=0, answers_after_s=20.0)
        chain, witness = room([])
        engine = Numbered("only", [by_request] * 9, witness)
        engine.chain = chain
        chain.renew([Link(name="only", stt=engine, speaks_unasked=False)])
        ada = Person("ada", chain)
        await ada.transcribed([Utterance(frames=700, pause_frames=30, at_once=False)])
        assert_once_and_in_order(ada, witness)
        assert [s.text for s in ada.shown] == [ada.fed]  # in one piece, however long it was
        assert len(witness.tries["only"]) == 1

    run(meeting())


def test_audio_over_which_an_engine_always_fails_is_given_to_it_ever_less_often() -> None:
    async def meeting() -> None:
        chain, witness = room([replace(GOOD, end=End.LOST, after_frames=10)] * 99)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                await Person("ada", chain).transcribed([SENTENCE])
        assert 8 <= len(witness.tries["first"]) <= 24

    run(meeting())
