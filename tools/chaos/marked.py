"""A meeting whose every word has a number that the scripted engine hears, so that losses are counted exactly."""

import asyncio
import itertools
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contract.segments import Segment
from tests.support import clips
from tests.support.deepgram.markers import CODES, with_markers
from tests.support.people import Speaker
from tools.chaos.lab import Lab
from tools.chaos.meeting import PAUSE_S, Meeting

FIRST_WORD_S, WORD_EVERY_S, LAST_WORD_S = 0.3, 0.4, 0.2
"""Within a clip; the last one leaves so much."""
PEAK = 20_000
SHOWN_LATELY_S = 20.0
"""Shorter than it takes anybody to come to the same number again."""
WORD = re.compile(r"\bw(\d{3})\b")

Times = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Word:
    """A number, said at a time (monotonic)."""

    code: int
    at: float


@dataclass(frozen=True, kw_only=True)
class Final:
    """The numbers of one final, and when they were said (monotonic)."""

    codes: tuple[int, ...]
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the words of one person, or of several."""

    said: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unsaid: int = 0
    excused: int = 0
    """Not shown, and nobody promised it."""

    @property
    def is_whole(self) -> bool:
        return self.said > 0 and not (self.lost or self.doubled or self.disordered or self.unsaid)

    def __add__(self, other: "Account") -> "Account":
        return Account(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def __str__(self) -> str:
        return self.told()

    def told(self, *, excuse: str = "older than the buffer") -> str:
        """`excuse` is why some may be missing."""
        text = f"{self.lost} lost and {self.doubled} doubled of {self.said} words"
        odd = {
            "out of order": self.disordered,
            "never said": self.unsaid,
            excuse: self.excused,
        }
        return ", ".join([text, *(f"{count} {name}" for name, count in odd.items() if count)])


def account(said: Sequence[Word], finals: Iterable[Final], *, excused: Iterable[Times] = ()) -> Account:
    """Of one person; `said` in order, `finals` in the order of their times.

    A number that is said again and again is the one nearest in time.
    """
    places: dict[int, list[int]] = defaultdict(list)
    for place, word in enumerate(said):
        places[word.code].append(place)
    shown, order, unsaid = Counter[int](), list[int](), 0
    for final in finals:
        middle = (final.start + final.end) / 2
        for code in final.codes:
            if code not in places:
                unsaid += 1
                continue
            place = min(places[code], key=lambda place: abs(said[place].at - middle))
            shown[place] += 1
            order.append(place)
    missing = [word for place, word in enumerate(said) if not shown[place]]
    pardoned = [word for word in missing if any(start <= word.at <= end for start, end in excused)]
    return Account(
        said=len(said),
        lost=len(missing) - len(pardoned),
        doubled=sum(count - 1 for count in shown.values() if count > 1),
        disordered=sum(later < earlier for earlier, later in itertools.pairwise(order)),
        unsaid=unsaid,
        excused=len(pardoned),
    )


class MarkedMeeting(Meeting):
    """As a meeting; each person has numbers of their own."""

    def __init__(self, lab: Lab, *, room: str | None = None, people: Sequence[str] = ("ada",)) -> None:
        super().__init__(lab, room=room, people=people)
        self.words: dict[str, list[Word]] = {person: [] for person in people}
        each = CODES // len(people)
        self._codes = {
            person: itertools.cycle(range(number * each, (number + 1) * each))
            for number, person in enumerate(people)
        }
        self._epoch = time.time() - time.monotonic()

    async def live(self, *, timeout_s: float = 30) -> None:
        """Start, and wait until it is live; nobody talks."""
        answer = await self.start()
        if not answer.is_2xx:
            raise RuntimeError(f"start was answered {answer.status}: {answer.body}")
        await self.until_state("live", "degraded", timeout_s=timeout_s)

    async def _talk(self, speaker: Speaker, voices: "itertools.cycle[str]") -> None:
        while not self._is_over.is_set():
            pcm = clips.at_level(clips.clip(next(voices)), PEAK)
            at_s = np.arange(FIRST_WORD_S, len(pcm) / clips.SAMPLE_RATE_HZ - LAST_WORD_S, WORD_EVERY_S)
            marks = [(float(at), next(self._codes[speaker.identity])) for at in at_s]
            marked = await asyncio.to_thread(with_markers, pcm, marks)
            now = time.monotonic()
            self.words[speaker.identity] += [Word(code=code, at=now + at) for at, code in marks]
            await speaker.say(marked)
            await speaker.say(clips.silence(PAUSE_S))

    # What is seen

    async def resumed(self, since: float, *, timeout_s: float) -> dict[str, float]:
        """Of each person, how long after `since` a word was shown that nobody had seen; infinity: not in time."""
        resumed = dict.fromkeys(self.words, float("inf"))

        def all_are_back(_: object) -> bool:
            resumed.update({person: self._first_new_word(person, since) - since for person in self.words})
            return max(resumed.values()) < float("inf")

        try:
            await self.viewer.until(all_are_back, timeout_s=timeout_s)
        except TimeoutError:
            all_are_back(None)
        return resumed

    def account(self, *, excused: Mapping[str, Sequence[Times]] | None = None) -> Account:
        """Of everything said; call it after `hush` and `settled`."""
        return sum(
            (self._account(person, (excused or {}).get(person, ())) for person in self.words), Account()
        )

    async def settled(
        self,
        *,
        excused: Mapping[str, Sequence[Times]] | None = None,
        timeout_s: float = 10,
        then_s: float = 1.0,
    ) -> Account:
        """The account once nothing is missing, or late; what comes twice has time to come.

        What is not whole is written down beside the processes' logs.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.account(excused=excused).lost or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(then_s)
        account = self.account(excused=excused)
        if not account.is_whole:
            await asyncio.to_thread(self._write_down)
        return account

    def monotonic(self, utc_ms: int) -> float:
        return utc_ms / 1000 - self._epoch

    def shown(self, person: str) -> list[tuple[float, Segment]]:
        """Every caption of theirs and when it came, those repeated for a newcomer apart."""
        return [
            (caption.at, caption.segment)
            for caption in self.captions
            if caption.segment.speaker_identity == person and not caption.segment.is_backlog
        ]

    def _write_down(self) -> None:
        """Each final, each word and each connection of the engine, all times monotonic."""
        lines = []
        for person, words in self.words.items():
            for at, final in self.shown(person):
                if final.is_final:
                    said = f"{self.monotonic(final.start_ms):.2f} to {self.monotonic(final.end_ms):.2f}"
                    lines.append(f"{person} shown at {at:.2f}, said {said}, {final.engine}: {final.text}")
            lines.append(f"{person} said " + ", ".join(f"w{word.code:03} {word.at:.2f}" for word in words))
        for each in self.lab.engine.seen().connections:
            heard = ", ".join(f"{word.text} {word.start_s:.2f}" for word in each.words)
            finals = ", ".join(f"{f.start_s:.2f}+{f.duration_s:.2f} {f.text}" for f in each.finals)
            ended = f"{each.closed_at:.2f} by {each.ending}" if each.closed_at else "never"
            lines.append(
                f"connection {each.number} from {each.opened_at:.2f}, ended {ended}: "
                f"{each.audio_s:.2f} s, heard {heard}; finals {finals}"
            )
        (self.lab.directory / f"{self.room}.words.log").write_text("\n".join(lines) + "\n")

    def _account(self, person: str, excused: Sequence[Times]) -> Account:
        finals = [segment for _, segment in self.shown(person) if segment.is_final]
        finals.sort(key=lambda segment: (segment.start_ms, segment.sequence))
        return account(
            self.words[person],
            [
                Final(
                    codes=codes_in(segment.text),
                    start=self.monotonic(segment.start_ms),
                    end=self.monotonic(segment.end_ms),
                )
                for segment in finals
            ],
            excused=excused,
        )

    def _first_new_word(self, person: str, since: float) -> float:
        seen: set[int] = set()
        for at, segment in self.shown(person):
            codes = set(codes_in(segment.text))
            if at > since and codes - seen:
                return at
            if at > since - SHOWN_LATELY_S:
                seen |= codes
        return float("inf")


def codes_in(text: str) -> tuple[int, ...]:
    return tuple(map(int, WORD.findall(text)))
