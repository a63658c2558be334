""" "Test this key", the worker's side: one clip through one engine, and the exact reason where no words come."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import jiwer
import psutil
import pytest

from agents.stt.dialing import DialingRules
from agents.stt.registry import EngineDefaults
from agents.stt.trial import try_engine
from agents.stt.trial.clip import read_clip
from agents.stt.trial.words import word_error_rate
from agents.workers.engine_tests import run_test
from contract.addresses import allowlist_of
from contract.engines import EngineSetup, EngineTestOutcome, EngineTestResult, EngineTestTask
from tests.support.backend_double import BackendDouble
from tests.support.livekit import ROOT
from tests.support.scripted_deepgram import ScriptedDeepgram
from tests.support.subtitles_worker import RunningWorker, alive

KEY = "a-key-that-nobody-may-see"
WORDS = read_clip().words
DEFAULTS = EngineDefaults(provider="embedded", speech_url="http://127.0.0.1:1")
LOCAL = DialingRules(allowlist=allowlist_of(["127.0.0.1"]), plain_is_allowed=True)


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture
def scripted(scripted_server: ScriptedDeepgram) -> Iterator[ScriptedDeepgram]:
    """The engine, hearing the clip as it is; whatever it was to do, it was spoken to by its wire."""
    scripted_server.reset()
    scripted_server.set(hears="energy", says=WORDS, accepted_key=KEY)
    yield scripted_server
    assert [v for c in scripted_server.seen().connections for v in c.violations] == []


def setup(engine: ScriptedDeepgram, **changes: Any) -> EngineSetup:
    return EngineSetup(
        **{"engine": "deepgram", "base_url": engine.url, "api_key": KEY, "is_typed": True, **changes}
    )


async def tried(
    setup: EngineSetup, *, language: str = "en", within_s: float = 8, rules: DialingRules = LOCAL
) -> EngineTestOutcome:
    return await try_engine(setup, language=language, defaults=DEFAULTS, rules=rules, within_s=within_s)


def test_the_clip_is_short_and_in_words_that_can_be_compared() -> None:
    clip = read_clip()

    assert len(clip.frames) * 0.02 <= 4
    assert 0 < clip.speech_ends_at < len(clip.frames)
    assert word_error_rate(clip.words, clip.words) == 0


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("good morning everyone", "good morning everyone"),
        ("good morning everyone", "good evening everyone"),
        ("good morning everyone", "good everyone"),
        ("good morning everyone", "a good good morning to everyone here"),
        ("good morning everyone", "morning good"),
        ("one two three four", "four three two one one one one one"),
        ("a", "b c d"),
    ],
)
def test_the_word_error_rate_is_what_others_measure(said: str, understood: str) -> None:
    assert word_error_rate(said, understood) == pytest.approx(jiwer.wer(said, understood))


def test_case_and_marks_are_not_errors_and_nothing_is_all_wrong() -> None:
    assert word_error_rate("don't wait until friday", "Don't wait, until Friday!") == 0
    assert word_error_rate("good morning", "") == 1


async def test_an_engine_that_understands_is_ok_with_its_words_their_rate_and_its_latency(
    scripted: ScriptedDeepgram,
) -> None:
    scripted.set(final_delay_ms=300)

    outcome = await tried(setup(scripted))

    assert (outcome.result, outcome.words, outcome.word_error_rate) == (EngineTestResult.OK, WORDS, 0)
    assert outcome.latency_ms is not None and 300 <= outcome.latency_ms < 1500
    [connection] = scripted.seen().connections
    assert connection.ending == "CloseStream"
    assert connection.audio_s == pytest.approx(len(read_clip().frames) * 0.02)


async def test_an_engine_that_hears_something_else_is_told_apart_unless_it_was_asked_for_another_language(
    scripted: ScriptedDeepgram,
) -> None:
    scripted.set(says="guten morgen allerseits")

    english, german = await asyncio.gather(tried(setup(scripted)), tried(setup(scripted), language="de"))

    assert (english.result, english.words) == (EngineTestResult.WRONG_WORDS, "guten morgen allerseits")
    assert english.word_error_rate == 1
    assert (german.result, german.word_error_rate) == (EngineTestResult.OK, None)


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ({"accepted_key": "another"}, EngineTestResult.BAD_KEY),
        ({"accepts": 403}, EngineTestResult.BAD_KEY),
        ({"accepts": 402}, EngineTestResult.NO_QUOTA),
        ({"accepts": 429, "retry_after_s": 30}, EngineTestResult.NO_QUOTA),
        ({"accepts": 404}, EngineTestResult.WRONG_MODEL),
        ({"accepts": 400}, EngineTestResult.WRONG_OPTIONS),
        ({"accepts": 500}, EngineTestResult.UNREACHABLE),
        ({"refuses_connections": True}, EngineTestResult.UNREACHABLE),
        ({"closes_every_s": 0.2}, EngineTestResult.UNREACHABLE),
        ({"says": ""}, EngineTestResult.SILENT),
        ({"hangs": "silent"}, EngineTestResult.SILENT),
    ],
    ids=str,
)
async def test_an_engine_that_gives_no_words_is_told_why(
    scripted: ScriptedDeepgram, script: dict[str, Any], result: EngineTestResult
) -> None:
    scripted.set(**script)

    assert await tried(setup(scripted), within_s=4) == EngineTestOutcome(result=result)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_that_may_not_be_typed_is_not_even_connected_to(
    scripted: ScriptedDeepgram, host: str
) -> None:
    typed = setup(scripted, base_url=scripted.url.replace("127.0.0.1", host))

    outcome = await tried(typed, rules=DialingRules(plain_is_allowed=True))

    assert outcome == EngineTestOutcome(result=EngineTestResult.ADDRESS_REFUSED)
    assert not scripted.seen().attempts


async def test_a_setup_that_cannot_work_is_told_so() -> None:
    outcome = await tried(EngineSetup(engine="openai_compatible"))

    assert outcome == EngineTestOutcome(result=EngineTestResult.WRONG_OPTIONS)


async def test_an_engine_that_nobody_has_installed_is_told_so() -> None:
    outcome = await tried(EngineSetup(engine="of another release"))

    assert outcome == EngineTestOutcome(result=EngineTestResult.NOT_INSTALLED)


async def test_a_test_that_takes_too_long_is_ended_with_its_process(
    scripted: ScriptedDeepgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))  # as a worker has it
    scripted.set(hangs="silent")
    task = EngineTestTask(test="t", setup=setup(scripted, is_typed=False), language="en")
    running = asyncio.create_task(run_test(task, defaults=DEFAULTS, rules=LOCAL, within_s=60))
    await scripted.until(lambda seen: seen.connections)
    [process] = [p for p in psutil.Process().children() if "agents.workers.engine_test" in p.cmdline()]

    running.cancel()
    await asyncio.wait({running})

    assert alive([process]) == []
    assert (
        await run_test(task, defaults=DEFAULTS, rules=LOCAL, within_s=0.1)
    ).result is EngineTestResult.NOT_TRIED


async def test_a_worker_takes_a_test_that_is_offered_and_says_what_came_of_it(
    running_worker: RunningWorker, backend_server: BackendDouble, scripted: ScriptedDeepgram
) -> None:
    test, later = str(uuid.uuid4()), str(uuid.uuid4())
    vouched = EngineTestTask(test=test, setup=setup(scripted, is_typed=False), language="en")
    backend_server.offer_engine_test(running_worker.name, vouched)
    await backend_server.engine_test_taken(test)
    typed = EngineTestTask(test=later, setup=setup(scripted), language="en")
    backend_server.offer_engine_test(running_worker.name, typed)

    outcome = await backend_server.engine_test_outcome(test)
    assert (outcome.result, outcome.words) == (EngineTestResult.OK, WORDS)
    # Of this worker's operator nobody has vouched for an address that was typed.
    assert (await backend_server.engine_test_outcome(later)).result is EngineTestResult.ADDRESS_REFUSED
    log = running_worker.log()
    assert 'engine tested engine="deepgram" result="address_refused"' in log
    assert KEY not in log and "good morning" not in log
