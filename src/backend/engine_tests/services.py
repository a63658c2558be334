"""A test is asked for, offered to the workers that have the engine, taken by one, and over: in time, whatever happens.

Every change is one conditional UPDATE; what has taken too long is ended by whoever looks.
"""

import datetime
import uuid

from django.db.models import Q, QuerySet
from django.utils import timezone

from backend.engine_tests.models import EngineTest
from backend.errors import EngineTestTaken
from backend.events.chains import setup_of
from backend.events.models import EngineCredential, Event
from backend.leases import services as leases
from backend.sealing import Unreadable
from backend.throttles.services import ENGINE_TESTS, ENGINE_TESTS_OF_ONE, take
from contract.engines import EngineSetup, EngineTestOutcome, EngineTestResult, EngineTestTask

TAKEN_WITHIN_S = 14.0
"""While every worker that has the engine is at another test, one waits for so long."""
DONE_WITHIN_S = 14.5
"""From being taken: a little more than a worker gives it."""
MOST_OFFERS = 5
MAX_WORDS_CHARS = 1000
KEPT_FOR = datetime.timedelta(days=90)
"""They say, too, which worker was given a key."""


def ask(
    *,
    engine: str,
    event: Event | None,
    credential: EngineCredential | None,
    language: str = "en",
    asked_by: str = "",
) -> EngineTest:
    """In the clip's language, unless another is asked for. Raises Throttled, Unreadable."""
    if credential is not None:
        credential.open_key()
    take(ENGINE_TESTS_OF_ONE, asked_by)
    take(ENGINE_TESTS)
    return EngineTest.objects.create(
        engine=engine,
        event=event,
        credential=credential,
        language=language,
        asked_by=asked_by,
        asked_at=timezone.now(),
    )


def look(test: EngineTest) -> EngineTest:
    """As it is now: over, too, when nobody can try it, or when it has taken too long."""
    test.refresh_from_db()
    now = timezone.now()
    if not test.is_over and (result := why_over(test, now=now, is_installed=is_installed(test.engine))):
        _under_way(test.pk).filter(taken_at=test.taken_at).update(finished_at=now, result=result)
        test.refresh_from_db()
    return test


def why_over(test: EngineTest, *, now: datetime.datetime, is_installed: bool) -> EngineTestResult | None:
    """Of a test that nothing has come of yet. `is_installed`: some worker that takes jobs has the engine."""
    if test.taken_at is not None:
        is_late = (now - test.taken_at).total_seconds() > DONE_WITHIN_S
        return EngineTestResult.NOT_TRIED if is_late else None
    if not is_installed:
        return EngineTestResult.NOT_INSTALLED
    is_late = (now - test.asked_at).total_seconds() > TAKEN_WITHIN_S
    return EngineTestResult.NOT_TRIED if is_late else None


def is_installed(engine: str) -> bool:
    return any(engine in worker.engines for worker in leases.live_workers())


def offers(engines: tuple[str, ...]) -> tuple[str, ...]:
    """The oldest first; a worker takes one, if it is idle."""
    waiting = _takeable().filter(taken_at=None, engine__in=engines).order_by("asked_at")
    return tuple(str(pk) for pk in waiting.values_list("pk", flat=True)[:MOST_OFFERS])


def take_test(*, test_id: uuid.UUID, worker: str) -> EngineTestTask:
    """It is this worker's alone; asking twice is answered twice. Raises EngineTestTaken."""
    rows = _takeable().filter(Q(taken_at=None) | Q(taken_by=worker), pk=test_id)
    if rows.update(taken_by=worker, taken_at=timezone.now()) != 1:
        raise EngineTestTaken
    test = EngineTest.objects.select_related("credential").get(pk=test_id)
    # `ask` has read the key a moment ago. What cannot be read all the same is not tried.
    try:
        setup = setup_of(test.credential) if test.credential else EngineSetup(engine=test.engine)
    except Unreadable:
        raise EngineTestTaken from None
    return EngineTestTask(test=str(test.pk), setup=setup, language=test.language)


def finish(*, test_id: uuid.UUID, worker: str, outcome: EngineTestOutcome) -> None:
    """Raises EngineTestTaken for one that is not this worker's, or over."""
    rows = _under_way(test_id).filter(taken_by=worker)
    changed = rows.update(
        finished_at=timezone.now(),
        result=outcome.result,
        # An engine may say anything, and PostgreSQL takes no NUL.
        words=outcome.words.replace("\0", "")[:MAX_WORDS_CHARS],
        word_error_rate=outcome.word_error_rate,
        latency_ms=outcome.latency_ms,
    )
    if changed != 1:
        raise EngineTestTaken


def forget_old_tests() -> None:
    EngineTest.objects.filter(asked_at__lt=timezone.now() - KEPT_FOR).delete()


def _under_way(test_id: uuid.UUID) -> QuerySet[EngineTest]:
    return EngineTest.objects.filter(pk=test_id, finished_at=None)


def _takeable() -> QuerySet[EngineTest]:
    return EngineTest.objects.filter(finished_at=None, asked_at__gt=_seconds_ago(TAKEN_WITHIN_S))


def _seconds_ago(seconds: float) -> datetime.datetime:
    return timezone.now() - datetime.timedelta(seconds=seconds)
