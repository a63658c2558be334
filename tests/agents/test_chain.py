"""Which engine is tried, when, and by how many."""

import asyncio
import math
from collections.abc import Callable

import pytest

from agents.rooms.breaker import REFUSED_RETRY_S, Breaker, Failure
from agents.rooms.chain import Attempt, Chain, Engine
from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused, EngineSilent
from contract.status import Reason
from tests.agents.test_participant import transcribes
from tests.support.engine_double import Engine as Stt


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def chain_of(*names: str, clock: Callable[[], float]) -> Chain:
    return Chain(
        [Engine(name=name, stt=Stt(transcribes)) for name in names], on_change=lambda: None, clock=clock
    )


async def chosen(chain: Chain) -> Attempt:
    async with asyncio.timeout(0.1):
        return await chain.choose(lambda: "en")


async def nobody_may_try(chain: Chain) -> bool:
    try:
        await chosen(chain)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize(
    ("fault", "reason", "least_s", "most_s"),
    [
        (EngineRefused("no"), Reason.ENGINE_AUTH, REFUSED_RETRY_S, REFUSED_RETRY_S),
        (EngineFull("full", retry_after_s=7.0), Reason.AT_CAPACITY, 7.0, 7.0),
        (EngineFull("full"), Reason.AT_CAPACITY, 0.1, 1.5),
        (EngineLost("away"), Reason.ENGINE_DOWN, 0.1, 1.5),
        (EngineLost("away", retry_after_s=30.0), Reason.ENGINE_DOWN, 30.0, 30.0),
    ],
)
async def test_a_failed_engine_is_left_alone_for_as_long_as_its_failure_says(
    fault: EngineFault, reason: Reason, least_s: float, most_s: float
) -> None:
    clock = Clock()
    chain = chain_of("only", clock=clock)
    (await chosen(chain)).failed(fault)

    assert chain.trouble is reason
    clock.now += least_s - 0.01
    assert await nobody_may_try(chain)
    clock.now += most_s - least_s + 0.02
    await chosen(chain)


async def test_while_an_engine_is_away_one_tries_for_all_and_when_it_works_all_may() -> None:
    clock = Clock()
    chain = chain_of("only", clock=clock)
    (await chosen(chain)).failed(EngineLost("away"))
    clock.now += 5
    probe = await chosen(chain)
    waiting = [asyncio.create_task(chain.choose(lambda: "en")) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    probe.worked()
    async with asyncio.timeout(1):
        await asyncio.gather(*waiting)
    assert chain.trouble is None


async def test_who_tries_and_goes_away_leaves_the_try_to_the_next() -> None:
    clock = Clock()
    chain = chain_of("only", clock=clock)
    (await chosen(chain)).failed(EngineLost("away"))
    clock.now += 5
    probe = await chosen(chain)
    assert await nobody_may_try(chain)

    probe.over()
    await chosen(chain)


async def test_many_that_fail_at_once_count_as_one_outage() -> None:
    clock = Clock()
    chain = chain_of("only", clock=clock)
    for attempt in [await chosen(chain) for _ in range(8)]:
        attempt.failed(EngineFull("full", retry_after_s=3.0))

    clock.now += 3.01
    await chosen(chain)


async def test_a_stream_that_fails_while_others_work_says_nothing_of_the_engine() -> None:
    clock = Clock()
    chain = chain_of("only", clock=clock)
    mine, theirs = await chosen(chain), await chosen(chain)
    clock.now += 5
    theirs.worked()
    clock.now += 3
    mine.failed(EngineSilent("noise"))

    assert chain.trouble is None


async def test_a_stream_that_had_worked_says_nothing_of_the_engine_when_it_drops() -> None:
    chain = chain_of("first", "second", clock=Clock())
    attempt = await chosen(chain)
    attempt.worked()
    attempt.failed(EngineLost("closed"))

    assert (chain.trouble, chain.in_use) == (None, "first")


async def test_an_engine_that_takes_no_more_is_full_even_while_others_go_on() -> None:
    chain = chain_of("first", "second", clock=Clock())
    running, refused = await chosen(chain), await chosen(chain)
    running.worked()
    refused.failed(EngineFull("full"))
    running.worked()

    assert (chain.trouble, chain.in_use) == (Reason.AT_CAPACITY, "second")


async def test_the_chain_is_gone_through_in_order_and_returned_to_in_order() -> None:
    clock = Clock()
    chain = chain_of("first", "second", "third", clock=clock)
    (await chosen(chain)).failed(EngineLost("away"))
    second = await chosen(chain)
    second.failed(EngineRefused("no key"))
    third = await chosen(chain)
    third.worked()

    assert (second.engine.name, third.engine.name, chain.in_use) == ("second", "third", "third")
    assert not chain.has_better(third.engine, "en")
    clock.now += 2.1
    assert chain.has_better(third.engine, "en")
    probe = await chosen(chain)
    assert probe.engine.name == "first"
    assert not chain.has_better(third.engine, "en")  # one tries; the others go on where they are
    probe.worked()
    assert chain.in_use == "first"


def test_a_silent_engine_with_another_behind_it_is_tried_ever_less_often() -> None:
    waits_s = []
    breaker = Breaker(is_last=False, jitter=lambda: 0.0)
    for _ in range(6):
        breaker.tried()
        breaker.failed(Failure.SILENT, retry_after_s=None, now=0.0)
        waits_s.append(breaker.try_in_s(now=0.0))

    assert waits_s == [5, 10, 20, 40, 60, 60]


def test_the_last_engine_is_tried_often_however_it_fails() -> None:
    breaker = Breaker(is_last=True, jitter=lambda: 0.0)
    for _ in range(6):
        breaker.failed(Failure.SILENT, retry_after_s=None, now=0.0)

    assert breaker.try_in_s(now=0.0) == 1.5
    assert breaker.tried() and breaker.try_in_s(now=99.0) == math.inf


async def test_an_engine_is_not_tried_for_a_language_it_does_not_know() -> None:
    clock = Clock()
    links = [
        Engine(name="first", stt=Stt(transcribes)),
        Engine(name="english", stt=Stt(transcribes), languages=frozenset({"en"})),
    ]
    chain = Chain(links, on_change=lambda: None, clock=clock)
    (await chain.choose(lambda: "de")).failed(EngineLost("away"))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await chain.choose(lambda: "de")
    assert (await chosen(chain)).engine.name == "english"


async def test_who_waits_for_an_engine_and_has_another_language_by_now_gets_one_that_speaks_it() -> None:
    spoken = ["de"]
    links = [
        Engine(name="first", stt=Stt(transcribes)),
        Engine(name="english", stt=Stt(transcribes), languages=frozenset({"en"})),
    ]
    chain = Chain(links, on_change=lambda: None)
    (await chain.choose(lambda: "de")).failed(EngineFull("full", retry_after_s=60.0))
    waiting = asyncio.create_task(chain.choose(lambda: spoken[-1]))
    await asyncio.sleep(0)
    spoken.append("en")
    async with asyncio.timeout(5):
        attempt = await waiting

    assert (attempt.engine.name, attempt.language) == ("english", "en")


class Closable(Stt):
    def __init__(self) -> None:
        super().__init__(transcribes)
        self.closed = asyncio.Event()

    async def aclose(self) -> None:
        self.closed.set()


async def test_an_engine_that_stays_keeps_its_breaker_and_one_with_another_key_begins_anew() -> None:
    clock = Clock()
    first, second, corrected = (Engine(name=n, stt=Stt(transcribes)) for n in ("first", "second", "first"))
    chain = Chain([first, second], on_change=lambda: None, clock=clock)
    (await chosen(chain)).failed(EngineRefused("no"))
    assert (chain.in_use, chain.trouble) == ("second", Reason.ENGINE_AUTH)

    chain.renew([second, first])
    assert (chain.in_use, chain.trouble) == ("second", None)
    chain.renew([first, second])
    assert (chain.in_use, chain.trouble) == ("second", Reason.ENGINE_AUTH)
    chain.renew([corrected, second])
    assert (chain.in_use, chain.trouble) == ("first", None)
    assert (await chosen(chain)).engine is corrected


async def test_who_waits_for_a_refused_engine_goes_on_as_soon_as_it_has_another_key() -> None:
    told = []
    refused, corrected = (Engine(name="only", stt=Stt(transcribes)) for _ in range(2))
    chain = Chain([refused], on_change=lambda: told.append(chain.trouble))
    (await chosen(chain)).failed(EngineRefused("no"))
    waiting = asyncio.create_task(chain.choose(lambda: "en"))
    await asyncio.sleep(0)
    chain.renew([corrected])
    async with asyncio.timeout(0.5):
        assert (await waiting).engine is corrected

    assert told == [Reason.ENGINE_AUTH, None]


async def test_a_stream_of_a_replaced_engine_has_a_better_one_and_of_a_dropped_one_no_place() -> None:
    clock = Clock()
    before, after, other = (Engine(name=n, stt=Stt(transcribes)) for n in ("first", "first", "second"))
    chain = Chain([before], on_change=lambda: None, clock=clock)
    attempt = await chosen(chain)
    attempt.worked()
    chain.renew([after, other])

    assert chain.has_better(before, "en") and chain.is_avoided(before) and not chain.has_dropped(before)
    chain.renew([other])
    assert chain.has_dropped(before)
    attempt.failed(EngineRefused("it is another's key by now"))
    assert chain.trouble is None  # of an engine that is none of the chain's


async def test_a_replaced_engine_is_closed_after_its_last_stream_and_one_that_stays_is_not() -> None:
    stays, goes, comes = Closable(), Closable(), Closable()
    first, second, third = (Engine(name="x", stt=stt) for stt in (stays, goes, comes))
    chain = Chain([second, first], on_change=lambda: None)
    closing = asyncio.create_task(chain.close_retired())
    attempts = [await chosen(chain) for _ in range(2)]
    chain.renew([third, first])
    for attempt in attempts:
        await asyncio.sleep(0.01)
        assert not goes.closed.is_set()
        attempt.over()
    async with asyncio.timeout(1):
        await goes.closed.wait()
    assert not stays.closed.is_set() and not comes.closed.is_set()

    closing.cancel()
    await chain.aclose()
    assert stays.closed.is_set() and comes.closed.is_set()


async def test_without_any_engine_one_waits_for_some() -> None:
    chain = chain_of(clock=Clock())
    assert (chain.is_empty, chain.in_use) == (True, None)
    waiting = asyncio.create_task(chain.choose(lambda: "en"))
    await asyncio.sleep(0)
    chain.renew([engine := Engine(name="only", stt=Stt(transcribes))])
    async with asyncio.timeout(0.5):
        assert (await waiting).engine is engine
