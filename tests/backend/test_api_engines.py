"""`POST /internal/v1/sessions/{session}/engines`: the chain and its keys, for who transcribes the session."""

import uuid
from typing import Any

import pytest
from django.utils import timezone

from backend.events import services
from backend.events.handouts import KEPT_FOR, forget_old_handouts
from backend.events.models import EnginesHandout, EventRoom
from backend.leases import services as leases
from backend.leases.models import Session
from contract.engines import EnginesCause, EngineSetup, EnginesRequest, SessionEngines
from contract.names import PATH_CLAIM, PATH_ENGINES, PATH_HEARTBEAT
from contract.shapes import from_value
from contract.status import State
from contract.workers import ClaimAnswer, ClaimRequest, HeartbeatAnswer, JobReport, Order, WorkerHeartbeat
from tests.backend.conftest import WorkerApi
from tests.backend.test_event_chains import KEY, made_event, made_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(db: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    return made


def claim(worker: WorkerApi, session: Session, generation: int = 1) -> ClaimAnswer:
    answer = worker.post(PATH_CLAIM.format(session=session.pk), ClaimRequest(generation=generation))
    assert answer.status_code == 200
    return from_value(ClaimAnswer, answer.json())


def ask(
    worker: WorkerApi, session: object, *, generation: int = 1, cause: EnginesCause = EnginesCause.START
) -> Any:
    path = PATH_ENGINES.format(session=session.pk if isinstance(session, Session) else session)
    return worker.post(path, EnginesRequest(generation=generation, cause=cause))


def given(worker: WorkerApi, session: Session, **asked: Any) -> SessionEngines:
    answer = ask(worker, session, **asked)
    assert answer.status_code == 200
    return from_value(SessionEngines, answer.json())


def beat(worker: WorkerApi, session: Session, *, generation: int = 1) -> Any:
    job = JobReport(session=str(session.pk), generation=generation, state=State.LIVE)
    answer = worker.post(
        PATH_HEARTBEAT.format(worker=worker.name),
        WorkerHeartbeat(capacity=8, draining=False, engines=("embedded",), jobs=(job,)),
    )
    return from_value(HeartbeatAnswer, answer.json()).jobs[0]


def test_who_holds_the_claim_is_given_the_chain_with_its_keys(
    worker_api: WorkerApi, session: Session
) -> None:
    event = made_event("r", chain=["deepgram"], glossary="Ada\n\n Eventyay \nAda\n")
    made_key("deepgram", event=event)
    claimed = claim(worker_api, session)
    assert (claimed.engine, claimed.fallback) == ("deepgram", ("embedded",))

    answer = ask(worker_api, session)

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert from_value(SessionEngines, answer.json()) == SessionEngines(
        session=str(session.pk),
        generation=1,
        revision=1,
        chain=(EngineSetup(engine="deepgram", api_key=KEY), EngineSetup(engine="embedded")),
        glossary=("Ada", "Eventyay"),
    )
    session.refresh_from_db()
    assert (session.event, session.engine) == (event, "deepgram")


def test_a_claims_answer_holds_no_key(worker_api: WorkerApi, session: Session) -> None:
    made_key("deepgram", event=made_event("r", chain=["deepgram"]))

    answer = worker_api.post(PATH_CLAIM.format(session=session.pk), ClaimRequest(generation=1))

    assert answer.json()["engine"] == "deepgram"
    assert KEY not in answer.content.decode()


def test_nobody_else_is_given_anything(worker_api: WorkerApi, session: Session, settings: Any) -> None:
    made_key("deepgram", event=made_event("r", chain=["deepgram"]))
    other_worker = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")
    foreign = WorkerApi("another-secret-of-32-characters-x", name=worker_api.name)
    unclaimed = ask(worker_api, session)
    claim(worker_api, session)

    refused = {
        "unclaimed": unclaimed,
        "another worker": ask(other_worker, session),
        "another generation": ask(worker_api, session, generation=2),
        "no generation": ask(worker_api, session, generation=0),
        "another session": ask(worker_api, uuid.uuid4()),
    }
    for why, answer in refused.items():
        assert (answer.status_code, answer.json()["code"]) == (409, "claim_stale"), why
        assert KEY not in answer.content.decode()
    assert ask(foreign, session).status_code == 401
    assert worker_api.post(PATH_ENGINES.format(session=session.pk), "{}").status_code == 400
    assert not EnginesHandout.objects.exists()

    leases.begin_stop(session)
    assert ask(worker_api, session).status_code == 409
    leases.end_session(session)
    assert ask(worker_api, session).status_code == 409


def test_who_stands_by_is_given_the_engines_too_and_who_lost_the_lease_is_not(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    next_worker = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")
    claim(worker_api, session)
    session.refresh_from_db()
    leases.open_standby(session)
    claim(next_worker, session, generation=2)

    assert given(next_worker, session, generation=2).generation == 2
    assert given(worker_api, session).generation == 1

    session.refresh_from_db()
    assert leases.promote_standby(session)
    assert ask(worker_api, session).status_code == 409
    assert given(next_worker, session, generation=2).generation == 2


def test_each_handing_out_is_written_down_without_a_secret_and_forgotten_in_time(
    worker_api: WorkerApi, session: Session
) -> None:
    made_key("deepgram", event=made_event("r", chain=["deepgram"]))
    claim(worker_api, session)

    given(worker_api, session)
    given(worker_api, session, cause=EnginesCause.REFUSED)

    newer, older = EnginesHandout.objects.all()
    assert (older.session, older.worker, older.generation) == (session, "worker-1", 1)
    assert (older.cause, newer.cause) == ("start", "refused")
    assert older.engines == ["deepgram", "embedded"]
    assert not any(KEY in str(vars(row)) for row in (newer, older))

    EnginesHandout.objects.filter(pk=older.pk).update(at=timezone.now() - KEPT_FOR)
    forget_old_handouts()
    assert [row.pk for row in EnginesHandout.objects.all()] == [newer.pk]


def test_a_change_is_told_with_the_next_heartbeat_and_the_same_job_then_has_the_new_chain(
    worker_api: WorkerApi, session: Session
) -> None:
    claim(worker_api, session)
    assert given(worker_api, session).chain == (EngineSetup(engine="embedded"),)
    assert beat(worker_api, session).engines_revision == 1

    event = made_event(chain=["deepgram"])
    EventRoom.objects.create(event=event, name="r")
    made_key("deepgram", event=event)
    services.note_change(event)

    command = beat(worker_api, session)
    assert (command.order, command.engines_revision) == (Order.SPEAK, 2)
    changed = given(worker_api, session, cause=EnginesCause.CHANGED)
    assert (changed.revision, [setup.api_key for setup in changed.chain]) == (2, [KEY, ""])
    session.refresh_from_db()
    assert (session.event, session.engine) == (event, "deepgram")

    services.delete_event(event, actor="user:ada")
    assert beat(worker_api, session).engines_revision == 3
    assert given(worker_api, session).chain == (EngineSetup(engine="embedded"),)
    session.refresh_from_db()
    assert (session.event, session.engine) == (None, "embedded")


def test_another_language_is_another_revision_with_the_engines_that_speak_it(
    worker_api: WorkerApi, session: Session
) -> None:
    made_event("r", chain=["nemotron", "deepgram"])
    claim(worker_api, session)

    assert leases.change_language(session, "fr")

    command = beat(worker_api, session)
    assert (command.language, command.engines_revision) == ("fr", 2)
    assert [setup.engine for setup in given(worker_api, session).chain] == ["deepgram"]
    assert not leases.change_language(session, "fr")
    assert beat(worker_api, session).engines_revision == 2
