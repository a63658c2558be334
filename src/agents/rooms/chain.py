"""A job's engines in the order in which they are wanted, each with its breaker; shared by all pipelines.

They may be replaced while people speak: an engine that stays keeps its breaker, one that comes is as good as any, and
one that has gone is closed once its last stream has ended.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from livekit.agents import stt

from agents.rooms.breaker import Breaker, Failure
from agents.runtime.errors import EngineFault, EngineFull, EngineRefused, EngineSilent
from contract.status import Reason

WORKED_LATELY_S = 10.0
LOOK_AGAIN_S = 1.0
"""Who waits for an engine may have another language meanwhile, which others speak."""
CLOSE_TIMEOUT_S = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine:
    """One engine of a chain, and what a pipeline has to know of it."""

    name: str
    stt: stt.STT[str]
    session_limit_s: float = math.inf
    """A stream is replaced by another, at a pause, before it is this old."""
    speaks_unasked: bool = True
    """False: until an utterance has ended, its silence says nothing."""
    languages: frozenset[str] = frozenset()
    """It is not tried for any other; empty: it knows best itself."""

    def speaks(self, language: str) -> bool:
        """Whether what it would write is not nonsense."""
        return not self.languages or language in self.languages


class Chain:
    """`choose` gives the first engine that may be tried; waits when there is none."""

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        on_change: Callable[[], None],
        on_failure: Callable[[Reason], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_failure` is told of each stream that fails, `on_change` when `trouble` or `in_use` are others."""
        self._links = _linked(engines, ())
        self._retired: list[_Link] = []
        self._on_change, self._on_failure, self._clock = on_change, on_failure, clock
        self._has_changed, self._has_retired = asyncio.Event(), asyncio.Event()

    def renew(self, engines: Sequence[Engine]) -> None:
        """These from now on; of those that are not among them no stream is opened any more."""
        before = (self.trouble, self.in_use)
        links = _linked(engines, self._links)
        self._retired += [link for link in self._links if link not in links]
        self._links = links
        self._has_changed.set()
        self._has_retired.set()
        if (self.trouble, self.in_use) != before:
            self._on_change()

    async def close_retired(self) -> None:
        """Each once its last stream has ended; until cancelled."""
        while True:
            self._has_retired.clear()
            idle = [link for link in self._retired if not link.streams]
            await _closed(idle)
            self._retired = [link for link in self._retired if link not in idle]
            await self._has_retired.wait()

    async def aclose(self) -> None:
        """After all streams have been closed."""
        await _closed([*self._links, *self._retired])

    @property
    def is_empty(self) -> bool:
        """Whether there is no engine at all."""
        return not self._links

    @property
    def in_use(self) -> str | None:
        """The engine whose captions are to be expected: the first that is not in trouble."""
        link = next((link for link in self._links if not link.breaker.trouble), next(iter(self._links), None))
        return link.engine.name if link else None

    @property
    def trouble(self) -> Reason | None:
        """Why the first engine is not in use."""
        return self._links[0].breaker.trouble if self._links else None

    async def choose(self, language: Callable[[], str]) -> "Attempt":
        """The first engine that may be tried, as soon as there is one."""
        while True:
            spoken = language()
            links = [link for link in self._links if link.engine.speaks(spoken)] or self._links[:1]
            now = self._clock()
            waits_s = [link.breaker.try_in_s(now=now) for link in links]
            for link, wait_s in zip(links, waits_s, strict=True):
                if wait_s == 0.0:
                    return Attempt(self, link, language=spoken, began_at=now)
            self._has_changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min([LOOK_AGAIN_S, *waits_s])):
                    await self._has_changed.wait()

    def has_better(self, engine: Engine, language: str) -> bool:
        """Whether an engine before this one may be tried now."""
        now = self._clock()
        before = itertools.takewhile(lambda link: link.engine is not engine, self._links)
        return any(link.engine.speaks(language) and link.breaker.try_in_s(now=now) == 0.0 for link in before)

    def is_avoided(self, engine: Engine) -> bool:
        """Whether its breaker is open, or it is not of the chain any more."""
        return all(link.breaker.trouble is not None for link in self._links if link.engine is engine)

    def has_dropped(self, engine: Engine) -> bool:
        """Whether it is not to be used any more, not even with another key."""
        return all(link.engine.name != engine.name for link in self._links)

    def failed(self, failure: Failure) -> None:
        """A stream has ended in failure, whatever that says of its engine."""
        self._on_failure(failure.reason)

    def judge(self, verdict: Callable[[], None]) -> None:
        """Tell a breaker; who waits looks again."""
        before = (self.trouble, self.in_use)
        verdict()
        self._has_changed.set()
        if (self.trouble, self.in_use) != before:
            self._on_change()

    def stream_over(self) -> None:
        """A stream has ended, or was cut off; it may have been the last of an engine that is to be closed."""
        self._has_retired.set()

    def now(self) -> float:
        """Of the clock that the breakers go by."""
        return self._clock()


@dataclass(eq=False)
class _Link:
    engine: Engine
    breaker: Breaker
    worked_at: float = -math.inf
    streams: int = 0


def _linked(engines: Sequence[Engine], before: Sequence[_Link]) -> list[_Link]:
    known = {link.engine: link for link in before}
    links = [known.get(engine) or _Link(engine, Breaker()) for engine in engines]
    for link in links:
        link.breaker.is_last = link is links[-1]
    return links


async def _closed(links: Sequence[_Link]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.gather(*(link.engine.stt.aclose() for link in links), return_exceptions=True)


class Attempt:
    """One stream of one engine; tells the chain how it went."""

    def __init__(self, chain: Chain, link: _Link, *, language: str, began_at: float) -> None:
        self._chain, self._link, self._began_at = chain, link, began_at
        self.language = language
        self._is_probe = link.breaker.tried()
        link.streams += 1
        self.engine = link.engine
        self.has_worked = False

    def worked(self) -> None:
        """The stream has got an answer."""
        self._link.worked_at = self._chain.now()
        self.has_worked = True
        if self._is_probe:
            self._is_probe = False
            self._chain.judge(self._link.breaker.worked)

    def failed(self, error: EngineFault) -> None:
        """The stream has ended in failure."""
        failure, breaker, now = failure_of(error), self._link.breaker, self._chain.now()
        self._chain.failed(failure)
        if self._is_probe or (breaker.trouble is None and not self._is_its_own(failure, now)):
            self._is_probe = False
            self._chain.judge(lambda: breaker.failed(failure, retry_after_s=error.retry_after_s, now=now))

    def over(self) -> None:
        """The stream has ended, or was cut off. Said once."""
        self._link.streams -= 1
        self._chain.stream_over()
        if self._is_probe:
            self._is_probe = False
            self._chain.judge(self._link.breaker.given_up)

    def _is_its_own(self, failure: Failure, now: float) -> bool:
        """A stream that had worked says nothing of its engine; nor does one that fails while others work."""
        if self.has_worked:
            return True
        others_work = self._link.worked_at > max(self._began_at, now - WORKED_LATELY_S)
        return others_work and failure in (Failure.LOST, Failure.SILENT)


def failure_of(error: EngineFault) -> Failure:
    """What a breaker is told."""
    if isinstance(error, EngineRefused):
        return Failure.REFUSED
    if isinstance(error, EngineFull):
        return Failure.FULL
    return Failure.SILENT if isinstance(error, EngineSilent) else Failure.LOST
