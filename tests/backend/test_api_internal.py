"""`/internal/v1/`: claims and heartbeats, as a worker makes them."""

import datetime
import time
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backend.leases import services as leases
from backend.leases.models import Session, Worker
from backend.meetings import keeping, posting
from backend.meetings.models import Meeting, Posted
from backend.meetings.services import locked
from backend.meetings.wishes import change_wish
from contract.segments import Segment
from contract.shapes import from_value
from contract.status import Reason, State
from contract.transcripts import Wish
from contract.workers import ClaimAnswer, ClaimRequest, HeartbeatAnswer, JobReport, Order, WorkerHeartbeat
from tests.backend.conftest import WorkerApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(db: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    return made


def claim(worker: WorkerApi, session: Session, generation: int = 1) -> Any:
    return worker.post(f"/internal/v1/sessions/{session.pk}/claim", ClaimRequest(generation=generation))


def report(session: Session, **changes: Any) -> JobReport:
    return JobReport(**{"session": str(session.pk), "generation": 1, "state": State.LIVE, **changes})


def heartbeat(worker: WorkerApi, *jobs: JobReport, capacity: int = 8) -> HeartbeatAnswer:
    beat = WorkerHeartbeat(capacity=capacity, draining=False, engines=("embedded",), jobs=jobs)
    answer = worker.post(f"/internal/v1/workers/{worker.name}/heartbeat", beat)
    assert answer.status_code == 200
    return from_value(HeartbeatAnswer, answer.json())


def test_a_claim_gives_the_lease_and_all_a_job_needs(worker_api: WorkerApi, session: Session) -> None:
    answer = claim(worker_api, session)

    assert answer.status_code == 200
    given = from_value(ClaimAnswer, answer.json())
    assert (given.room, given.language, given.engine, given.first_sequence) == ("r", "en", "embedded", 1)
    assert given.agent_identity == f"subtitles-{session.agent.hex}-1"
    session.refresh_from_db()
    assert (session.state, session.worker) == ("joining", "worker-1")


def test_only_one_worker_gets_the_lease_and_it_may_ask_again(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")

    assert claim(worker_api, session).status_code == 200
    refused = claim(other, session)
    assert (refused.status_code, refused.json()["code"]) == (409, "claim_stale")
    assert claim(worker_api, session).status_code == 200


@pytest.mark.parametrize("generation", [0, 2])
def test_another_generation_is_not_to_be_had(
    worker_api: WorkerApi, session: Session, generation: int
) -> None:
    assert claim(worker_api, session, generation).status_code == 409


def test_a_session_that_is_stopping_or_over_is_not_to_be_had(worker_api: WorkerApi, session: Session) -> None:
    leases.begin_stop(session)
    assert claim(worker_api, session).status_code == 409
    leases.end_session(session)
    assert claim(worker_api, session).status_code == 409


def test_an_unknown_session_is_not_to_be_had(worker_api: WorkerApi, db: None) -> None:
    answer = worker_api.post(f"/internal/v1/sessions/{uuid.uuid4()}/claim", ClaimRequest(generation=1))
    assert answer.status_code == 409


def test_a_full_worker_is_told_so_and_the_lease_stays_free(worker_api: WorkerApi, session: Session) -> None:
    heartbeat(worker_api, capacity=0)

    answer = claim(worker_api, session)

    assert (answer.status_code, answer.json()["code"]) == (503, "at_capacity")
    session.refresh_from_db()
    assert session.worker == ""


def test_a_heartbeat_moves_the_state_and_lets_the_job_speak(worker_api: WorkerApi, session: Session) -> None:
    claim(worker_api, session)

    [command] = heartbeat(worker_api, report(session, speaking=2, last_sequence=7)).jobs

    assert (command.order, command.language) == (Order.SPEAK, "en")
    session.refresh_from_db()
    assert (session.state, session.last_sequence) == ("live", 7)
    assert Worker.objects.get(pk="worker-1").speaking == 2


def test_a_job_without_the_lease_is_told_to_leave(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    claim(worker_api, session)
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")

    [command] = heartbeat(other, report(session)).jobs

    assert command.order is Order.LEAVE
    session.refresh_from_db()
    assert session.state == "joining"


@pytest.mark.parametrize("change", ["stopped", "ended", "next generation"])
def test_a_job_whose_lease_has_gone_is_told_to_leave(
    worker_api: WorkerApi, session: Session, change: str
) -> None:
    claim(worker_api, session)
    if change == "stopped":
        leases.begin_stop(session)
    elif change == "ended":
        leases.end_session(session)
    else:
        leases.next_generation(session, reason=Reason.WORKER_LOST)

    [command] = heartbeat(worker_api, report(session)).jobs

    assert command.order is Order.LEAVE


def test_a_lost_job_gives_its_lease_back(worker_api: WorkerApi, session: Session) -> None:
    claim(worker_api, session)

    heartbeat(worker_api, report(session, lost=True, last_sequence=3))

    session.refresh_from_db()
    assert (session.state, session.reason) == ("waiting_for_worker", "worker_lost")
    assert (session.generation, session.worker, session.last_sequence) == (2, "", 3)


def test_a_failed_job_ends_the_session_and_says_why(worker_api: WorkerApi, session: Session) -> None:
    claim(worker_api, session)

    heartbeat(worker_api, report(session, state=State.FAILED, reason=Reason.E2EE_ROOM))

    session.refresh_from_db()
    assert (session.state, session.reason, session.is_active) == ("failed", "e2ee_room", False)


def test_sequences_go_on_over_generations_and_sessions_of_a_meeting(
    worker_api: WorkerApi, session: Session
) -> None:
    claim(worker_api, session)
    heartbeat(worker_api, report(session, last_sequence=41))
    leases.next_generation(session, reason=Reason.WORKER_LOST)

    assert claim(worker_api, session, generation=2).json()["first_sequence"] == 1041

    session.refresh_from_db()
    leases.end_session(session)
    again, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    assert claim(worker_api, again).json()["first_sequence"] == 2041


def test_a_sequence_is_not_given_out_twice_when_nothing_was_heard_of_the_first_one(
    worker_api: WorkerApi, session: Session
) -> None:
    given = []
    for generation in (1, 2, 3):
        given.append(claim(worker_api, session, generation=generation).json()["first_sequence"])
        leases.next_generation(session, reason=Reason.WORKER_LOST)
        session.refresh_from_db()

    assert given == [1, 1001, 2001]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"sub": ""},
        {"sub": 5},
        {"exp": time.time() - 60},
        {"exp": time.time() + 3600},
        {"exp": "soon"},
    ],
)
def test_only_a_fresh_token_of_a_worker_opens_the_door(
    worker_api: WorkerApi, session: Session, changes: dict[str, object]
) -> None:
    answer = worker_api.post(
        f"/internal/v1/sessions/{session.pk}/claim",
        ClaimRequest(generation=1),
        token=worker_api.token(**changes),
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "internal_token_refused")


def test_a_token_under_another_secret_opens_nothing(session: Session) -> None:
    assert claim(WorkerApi("another-secret-" + "x" * 32), session).status_code == 401


def test_a_worker_speaks_for_itself_alone(worker_api: WorkerApi, db: None) -> None:
    beat = WorkerHeartbeat(capacity=1, draining=False, engines=())
    assert worker_api.post("/internal/v1/workers/worker-2/heartbeat", beat).status_code == 401


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"capacity": true, "draining": false, "engines": []}', "[" * 10_000]
)
def test_a_heartbeat_of_another_shape_is_a_bad_request(worker_api: WorkerApi, db: None, body: str) -> None:
    answer = worker_api.post("/internal/v1/workers/worker-1/heartbeat", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")


# The record: what a job is told of it


def posted(text: str) -> Segment:
    return Segment(
        id=str(uuid.uuid4()),
        track_sid="TR_1",
        sequence=1,
        revision=4,
        is_final=True,
        speaker_identity="ada",
        speaker_name="Ada",
        language="en",
        start_ms=1,
        end_ms=2,
        engine="human",
        text=text,
        is_corrected=True,
    )


def post(session: Session, *texts: str) -> list[Segment]:
    segments = [posted(text) for text in texts]
    assert session.meeting is not None
    with locked(session.meeting) as meeting:
        posting.post(meeting, *segments)
    return segments


def wish(session: Session, identity: str = "ada", **of: Any) -> None:
    assert session.meeting is not None
    with locked(session.meeting) as meeting:
        change_wish(meeting, identity, **of)


def since_ms() -> int | None:
    return keeping.kept_since_ms(Meeting.objects.get())


def test_a_claim_says_what_is_kept_and_what_people_want_so_that_nobody_is_heard_against_their_will(
    worker_api: WorkerApi, session: Session
) -> None:
    wish(session, "ada", captions=False)
    wish(session, "bob", hides_name=True)
    wish(session, "eve", captions=False)
    wish(session, "eve", captions=True)
    assert session.meeting is not None
    keeping.begin_keeping(session.meeting)

    given = from_value(ClaimAnswer, claim(worker_api, session).json())

    assert given.wishes.people == (
        Wish(identity="ada", captions=False),
        Wish(identity="bob", pseudonym="Speaker 1"),
    )
    assert given.kept_since_ms == since_ms() is not None
    [command] = heartbeat(worker_api, report(session, wishes_revision=given.wishes.revision)).jobs
    assert (command.wishes, command.kept_since_ms) == (None, given.kept_since_ms)


def test_a_heartbeat_tells_a_job_that_goes_by_others_what_people_want_now(
    worker_api: WorkerApi, session: Session
) -> None:
    given = from_value(ClaimAnswer, claim(worker_api, session).json())
    assert (given.wishes.people, given.kept_since_ms) == ((), None)
    wish(session, captions=False)

    [command] = heartbeat(worker_api, report(session, wishes_revision=given.wishes.revision)).jobs

    assert command.wishes is not None
    assert command.wishes.people == (Wish(identity="ada", captions=False),)
    assert command.wishes.revision > given.wishes.revision
    [command] = heartbeat(worker_api, report(session, wishes_revision=command.wishes.revision)).jobs
    assert command.wishes is None


def test_who_stands_by_is_told_who_is_not_to_be_heard_and_publishes_nothing(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")
    claim(worker_api, session)
    session.refresh_from_db()
    leases.open_standby(session)
    assert claim(other, session, generation=2).status_code == 200
    wish(session, captions=False)
    post(session, "a line")

    [command] = heartbeat(other, report(session, generation=2)).jobs

    assert command.wishes is not None and command.wishes.people == (Wish(identity="ada", captions=False),)
    assert (command.order, command.posted) == (Order.WAIT, ())


def test_what_was_posted_reaches_the_job_in_order_a_few_at_a_time_until_it_says_that_it_has_it(
    worker_api: WorkerApi, session: Session
) -> None:
    claim(worker_api, session)
    segments = post(session, *(f"line {number}" for number in range(25)))

    [command] = heartbeat(worker_api, report(session)).jobs
    assert [(p.number, p.segment) for p in command.posted] == list(enumerate(segments[:20], start=1))
    [again] = heartbeat(worker_api, report(session)).jobs
    assert again.posted == command.posted

    [rest] = heartbeat(worker_api, report(session, posted_taken=20)).jobs
    assert [p.number for p in rest.posted] == [21, 22, 23, 24, 25]
    assert Posted.objects.count() == 5
    [none] = heartbeat(worker_api, report(session, posted_taken=25)).jobs
    assert (none.posted, Posted.objects.count()) == ((), 0)


def test_a_job_that_begins_anew_is_not_told_again_what_another_has_published(
    worker_api: WorkerApi, session: Session
) -> None:
    claim(worker_api, session)
    post(session, "one", "two")
    heartbeat(worker_api, report(session, posted_taken=2**40))
    post(session, "three")

    [command] = heartbeat(worker_api, report(session)).jobs

    assert [(p.number, p.segment.text) for p in command.posted] == [(3, "three")]


def test_what_no_agent_took_within_a_minute_is_not_published_any_more(
    worker_api: WorkerApi, session: Session
) -> None:
    claim(worker_api, session)
    post(session, "late", "in time")
    Posted.objects.filter(number=1).update(at=timezone.now() - datetime.timedelta(seconds=61))

    assert [p.number for p in heartbeat(worker_api, report(session)).jobs[0].posted] == [2]
    posting.forget_late_ones()

    assert [p.number for p in heartbeat(worker_api, report(session)).jobs[0].posted] == [2]
    assert Posted.objects.get().number == 2


def test_a_heartbeat_asks_no_more_of_the_database_for_a_meeting_with_nothing_new(
    worker_api: WorkerApi, session: Session
) -> None:
    def queries() -> int:
        revision = Meeting.objects.get().wishes_revision
        with CaptureQueriesContext(connection) as caught:
            heartbeat(worker_api, report(session, wishes_revision=revision))
        assert not [query for query in caught if 'FROM "meetings_' in query["sql"]]
        return len(caught)

    claim(worker_api, session)
    heartbeat(worker_api, report(session))
    before = queries()
    wish(session, captions=False)
    post(session, "a line")
    heartbeat(worker_api, report(session, posted_taken=1))
    assert session.meeting is not None
    keeping.begin_keeping(session.meeting)

    assert queries() == before


def test_a_session_from_before_there_were_meetings_is_served_all_the_same(
    worker_api: WorkerApi, session: Session
) -> None:
    Meeting.objects.all().delete()

    assert claim(worker_api, session).status_code == 200
    [command] = heartbeat(worker_api, report(session)).jobs

    assert (command.order, command.wishes, command.kept_since_ms, command.posted) == (
        Order.SPEAK,
        None,
        None,
        (),
    )
