"""Usage and engine tests under backends that are told the same at once, on whichever database the suite runs on."""

import pytest

from backend.engine_tests import services as engine_tests
from backend.errors import EngineTestTaken
from backend.events.models import Event
from backend.usage import services as usage
from backend.usage.models import EngineUsage, MonthUsage
from tests.backend.test_leases_together import all_at_once
from tests.backend.test_usage import report, session_in

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_report_told_at_once_counts_once() -> None:
    event = Event.objects.create(slug="summit", name="Summit")
    first, second = session_in(event, "a"), session_in(event, "b")

    for audio_ms in (1_000, 2_500):
        jobs = [report(first, deepgram=audio_ms), report(second, deepgram=audio_ms, embedded=10)]
        all_at_once(lambda _, jobs=jobs: usage.record_usage(jobs))

    assert sorted(EngineUsage.objects.values_list("engine", "audio_ms")) == [
        ("deepgram", 2_500),
        ("deepgram", 2_500),
        ("embedded", 10),
    ]
    assert sorted(MonthUsage.objects.values_list("engine", "audio_ms")) == [
        ("deepgram", 5_000),
        ("embedded", 10),
    ]


def test_what_many_rooms_tell_at_once_adds_up() -> None:
    sessions = [session_in(None, f"room-{number}") for number in range(12)]

    all_at_once(lambda number: usage.record_usage([report(sessions[number], deepgram=1_000)]))

    assert MonthUsage.objects.get().audio_ms == 12_000


def test_a_budget_that_many_see_spent_is_told_once() -> None:
    event = Event.objects.create(slug="summit", name="Summit", monthly_budget_hours="0.01")
    session = session_in(event)

    all_at_once(lambda _: usage.record_usage([report(session, deepgram=40_000)]))

    session.refresh_from_db()
    assert session.engines_revision == 2


def test_a_test_that_many_workers_ask_for_is_given_to_one() -> None:
    test = engine_tests.ask(engine="deepgram", event=None, credential=None, language="en")

    def take(number: int) -> bool:
        try:
            engine_tests.take_test(test_id=test.pk, worker=f"worker-{number}")
        except EngineTestTaken:
            return False
        return True

    assert sum(all_at_once(take)) == 1
