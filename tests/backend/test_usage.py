"""Usage, and budgets: what jobs tell of their engines' audio is counted once, and held against the event's month."""

import datetime
import logging
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from backend.events.models import EngineCredential, Event, EventRoom
from backend.leases import services as leases
from backend.leases.models import Session
from backend.usage import services as usage
from backend.usage.budgets import MS_PER_HOUR, Standing, month_of, standing_of
from backend.usage.models import EngineUsage, MonthUsage
from contract.engines import EnginesCause, EnginesRequest, SessionEngines
from contract.shapes import from_value
from contract.status import State
from contract.workers import EngineAudio, HeartbeatAnswer, JobReport, WorkerHeartbeat
from tests.backend.conftest import WorkerApi

HOUR_MS = MS_PER_HOUR
BUDGET = "an event's budget"

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("spent_ms", "hours", "standing"),
    [
        (10 * HOUR_MS, None, Standing.WITHIN),
        (0, "1", Standing.WITHIN),
        (HOUR_MS * 8 // 10 - 1, "1", Standing.WITHIN),
        (HOUR_MS * 8 // 10, "1", Standing.WARNED),
        (HOUR_MS - 1, "1", Standing.WARNED),
        (HOUR_MS, "1", Standing.SPENT),
        (36_000, "0.01", Standing.SPENT),
    ],
)
def test_a_budget_warns_from_80_percent_and_is_spent_at_100(
    spent_ms: int, hours: str | None, standing: Standing
) -> None:
    assert standing_of(spent_ms=spent_ms, budget_hours=hours and Decimal(hours)) is standing


@given(st.lists(st.integers(0, 3 * HOUR_MS), min_size=2), st.decimals("0.01", "2", places=2))
def test_more_audio_never_makes_a_budget_stand_better(spent: list[int], hours: Decimal) -> None:
    standings = [standing_of(spent_ms=ms, budget_hours=hours) for ms in sorted(spent)]
    assert standings == sorted(standings, key=list(Standing).index)


def test_a_month_is_the_calendars_in_utc() -> None:
    late = datetime.datetime(2026, 12, 31, 23, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-5)))
    assert month_of(late) == datetime.date(2027, 1, 1)


@pytest.fixture
def event(db: None) -> Event:
    return Event.objects.create(slug="summit", name="Summit", chain=["deepgram"])


def session_in(event: Event | None, room: str = "r", **values: Any) -> Session:
    session, _ = leases.open_session(
        room=room, room_sid=f"RM_{room}", language="en", engine="deepgram", started_by="ada"
    )
    Session.objects.filter(pk=session.pk).update(event=event, worker="worker-1", state="live", **values)
    session.refresh_from_db()
    return session


def report(session: Session, generation: int = 1, **audio_ms: int) -> JobReport:
    return JobReport(
        session=str(session.pk),
        generation=generation,
        state=State.LIVE,
        engine_audio=tuple(EngineAudio(engine=name, audio_ms=ms) for name, ms in audio_ms.items()),
    )


def beat(worker: WorkerApi, *jobs: JobReport) -> HeartbeatAnswer:
    heartbeat = WorkerHeartbeat(capacity=8, draining=False, engines=("embedded", "deepgram"), jobs=jobs)
    answer = worker.post(f"/internal/v1/workers/{worker.name}/heartbeat", heartbeat)
    assert answer.status_code == 200
    return from_value(HeartbeatAnswer, answer.json())


def told() -> dict[tuple[int, str], int]:
    return {(u.generation, u.engine): u.audio_ms for u in EngineUsage.objects.all()}


def months() -> dict[tuple[str | None, str], int]:
    return {
        (m.event and m.event.slug, m.engine): m.audio_ms for m in MonthUsage.objects.select_related("event")
    }


def test_the_most_a_job_has_told_is_kept_whatever_comes_again_or_late(
    worker_api: WorkerApi, event: Event
) -> None:
    session = session_in(event)

    for deepgram, embedded in [(1_000, 0), (5_000, 200), (5_000, 200), (3_000, 0), (6_000, 100)]:
        beat(worker_api, report(session, deepgram=deepgram, embedded=embedded))

    assert told() == {(1, "deepgram"): 6_000, (1, "embedded"): 200}
    assert months() == {("summit", "deepgram"): 6_000, ("summit", "embedded"): 200}


def test_generations_add_up_also_while_one_hands_over_to_the_next(
    worker_api: WorkerApi, event: Event
) -> None:
    session = session_in(event)
    beat(worker_api, report(session, deepgram=5_000))
    leases.open_standby(session)

    beat(worker_api, report(session, deepgram=6_000), report(session, 2, deepgram=1_500))

    assert told() == {(1, "deepgram"): 6_000, (2, "deepgram"): 1_500}
    assert months() == {("summit", "deepgram"): 7_500}


def test_the_last_words_of_a_session_that_has_ended_count(worker_api: WorkerApi, event: Event) -> None:
    session = session_in(event)
    leases.end_session(session)

    beat(worker_api, report(session, deepgram=5_000))

    assert months() == {("summit", "deepgram"): 5_000}


def test_rooms_are_summed_up_by_event_and_those_of_none_together(worker_api: WorkerApi, event: Event) -> None:
    jobs = [
        report(session_in(of, room), deepgram=1_000)
        for room, of in [("a", event), ("b", event), ("c", None), ("d", None)]
    ]

    beat(worker_api, *jobs)
    beat(worker_api, *jobs)

    assert months() == {("summit", "deepgram"): 2_000, (None, "deepgram"): 2_000}


def test_what_cannot_be_is_not_counted(worker_api: WorkerApi, event: Event) -> None:
    session = session_in(event)
    another = JobReport(session="not a session", generation=1, state=State.LIVE)

    beat(
        worker_api,
        report(session, deepgram=-5, another=1_000, embedded=2**60),
        report(session, 9, deepgram=1_000),
        another,
    )

    assert (told(), months()) == ({}, {})


def test_each_month_has_its_own_sum(worker_api: WorkerApi, event: Event) -> None:
    session = session_in(event)
    beat(worker_api, report(session, deepgram=5_000))
    MonthUsage.objects.update(month=datetime.date(2020, 1, 1))

    beat(worker_api, report(session, deepgram=7_000))

    assert sorted(MonthUsage.objects.values_list("month", "audio_ms")) == [
        (datetime.date(2020, 1, 1), 5_000),
        (month_of(timezone.now()), 2_000),
    ]


def standing(event: Event) -> Standing:
    return usage.standing_now([Event.objects.get(pk=event.pk)])[event.pk]


def revision(session: Session) -> int:
    return Session.objects.get(pk=session.pk).engines_revision


def test_a_budget_warns_once_and_when_spent_has_running_rooms_ask_for_their_engines_anew(
    worker_api: WorkerApi, event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    Event.objects.update(monthly_budget_hours=Decimal("0.01"))  # 36 s
    one, other = session_in(event, "a"), session_in(event, "b")
    elsewhere = session_in(None, "c")

    def say(deepgram: int) -> None:
        beat(worker_api, report(one, deepgram=deepgram), report(other, embedded=90_000), report(elsewhere))

    for ms in (20_000, 28_800, 30_000):
        say(ms)
    assert standing(event) is Standing.WARNED
    assert [r.getMessage() for r in caplog.records if BUDGET in r.getMessage()] == [
        "an event's budget is nearly spent"
    ]
    assert (revision(one), usage.is_budget_spent(Event.objects.get())) == (1, False)

    for ms in (36_000, 40_000):
        say(ms)
    assert [r.getMessage() for r in caplog.records if BUDGET in r.getMessage()][1:] == [
        "an event's budget is spent"
    ]
    assert (revision(one), revision(other), revision(elsewhere)) == (2, 2, 1)
    assert usage.is_budget_spent(Event.objects.get())
    answer = beat(worker_api, report(one), report(elsewhere))
    assert [job.engines_revision for job in answer.jobs] == [2, 1]


@pytest.mark.parametrize("how", ["raised", "lifted", "a new month"])
def test_the_engines_come_back_with_a_raised_budget_or_a_new_month(
    worker_api: WorkerApi, event: Event, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO)
    Event.objects.update(monthly_budget_hours=Decimal("0.01"))
    session = session_in(event)
    beat(worker_api, report(session, deepgram=36_000))
    assert revision(session) == 2

    if how == "a new month":
        MonthUsage.objects.update(month=datetime.date(2020, 1, 1))
    else:
        Event.objects.update(monthly_budget_hours=Decimal(1) if how == "raised" else None)
    beat(worker_api, report(session, deepgram=36_000))
    beat(worker_api, report(session, deepgram=36_000))

    assert (revision(session), usage.is_budget_spent(Event.objects.get())) == (3, False)
    assert caplog.messages.count("an event's budget has room again") == 1


def test_embedded_audio_costs_nothing(worker_api: WorkerApi, event: Event) -> None:
    Event.objects.update(monthly_budget_hours=Decimal("0.01"))

    beat(worker_api, report(session_in(event), embedded=HOUR_MS))

    assert standing(event) is Standing.WITHIN


@pytest.mark.django_db(transaction=True)
def test_metrics_tell_what_engines_were_sent_and_how_budgets_stand(
    worker_api: WorkerApi, event: Event, client: Any
) -> None:
    Event.objects.update(monthly_budget_hours=Decimal("0.01"))
    Event.objects.create(slug="other", name="Other", monthly_budget_hours=1)
    beat(
        worker_api,
        report(session_in(event, "a"), deepgram=30_000),
        report(session_in(None, "b"), deepgram=500),
    )

    lines = client.get("/metrics").text.splitlines()

    assert 'roomscribe_engine_audio_seconds_total{engine="deepgram"} 30.5' in lines
    assert 'roomscribe_engine_audio_seconds_total{engine="embedded"} 0.0' in lines
    assert 'roomscribe_event_budgets{standing="warned"} 1.0' in lines
    assert 'roomscribe_event_budgets{standing="within"} 1.0' in lines
    assert 'roomscribe_event_budgets{standing="spent"} 0.0' in lines


def test_a_quiet_heartbeat_asks_few_questions(
    worker_api: WorkerApi, event: Event, django_assert_max_num_queries: Any
) -> None:
    Event.objects.update(monthly_budget_hours=1)
    sessions = [session_in(event, f"room-{number}") for number in range(5)]
    jobs = [report(session, deepgram=1_000) for session in sessions]
    beat(worker_api, *jobs)

    with django_assert_max_num_queries(4):
        usage.record_usage(jobs)


def test_a_spent_budget_leaves_a_session_the_embedded_engine_and_says_why(
    worker_api: WorkerApi, event: Event
) -> None:
    EventRoom.objects.create(event=event, name="r")
    Event.objects.update(monthly_budget_hours=Decimal("0.01"))
    credential = EngineCredential(engine="deepgram", event=event)
    credential.seal("a-key-that-nobody-may-see")
    credential.save()
    session = session_in(event)

    def engines() -> tuple[list[str], bool, int]:
        request = EnginesRequest(generation=1, cause=EnginesCause.CHANGED)
        answer = worker_api.post(f"/internal/v1/sessions/{session.pk}/engines", request)
        given = from_value(SessionEngines, answer.json())
        return [setup.engine for setup in given.chain], given.is_budget_spent, given.revision

    assert engines() == (["deepgram", "embedded"], False, 1)
    beat(worker_api, report(session, deepgram=36_000))
    assert engines() == (["embedded"], True, 2)
    Event.objects.update(monthly_budget_hours=Decimal("0.02"))
    beat(worker_api, report(session, deepgram=36_000))
    assert engines() == (["deepgram", "embedded"], False, 3)


def test_the_admin_shows_what_was_used_and_how_the_budget_stands(
    worker_api: WorkerApi, event: Event, admin_client: Any
) -> None:
    Event.objects.update(monthly_budget_hours=Decimal("2.00"))
    beat(worker_api, report(session_in(event, "hall"), deepgram=HOUR_MS * 17 // 10, embedded=HOUR_MS))

    jobs = admin_client.get("/admin/usage/engineusage/").text
    months = admin_client.get("/admin/usage/monthusage/").text
    page = admin_client.get(f"/admin/events/event/{event.pk}/change/").text

    assert "hall" in jobs and ">6120<" in jobs
    assert "1.70 of 2.00 h used, nearly spent" in months
    assert "1.70 of 2.00 h used, nearly spent" in page
    assert admin_client.get("/admin/events/event/add/").status_code == 200
