""" "Test this key", the backend's side: asked for, offered, taken by one worker, over in time."""

import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from backend.engine_tests import services
from backend.engine_tests.models import EngineTest
from backend.errors import Throttled
from backend.events.models import EngineCredential, Event
from backend.leases.models import Worker
from contract.engines import EngineTestOutcome, EngineTestResult, EngineTestTask
from contract.shapes import from_value
from contract.workers import HeartbeatAnswer, WorkerHeartbeat
from tests.backend.conftest import WorkerApi

pytestmark = pytest.mark.django_db

KEY = "a-key-that-nobody-may-see"
OK = EngineTestOutcome(result=EngineTestResult.OK, words="good morning", word_error_rate=0.25, latency_ms=310)


def sealed(credential: EngineCredential) -> EngineCredential:
    credential.seal(KEY)
    credential.save()
    return credential


@pytest.fixture
def credential(db: None) -> EngineCredential:
    return sealed(EngineCredential(engine="deepgram", model="nova-2", base_url="wss://engine.example/v1"))


@pytest.fixture
def other_worker(settings: Any) -> WorkerApi:
    return WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")


def beat(
    worker: WorkerApi, *, engines: tuple[str, ...] = ("embedded", "deepgram"), draining: bool = False
) -> Any:
    heartbeat = WorkerHeartbeat(capacity=8, draining=draining, engines=engines)
    answer = worker.post(f"/internal/v1/workers/{worker.name}/heartbeat", heartbeat)
    return from_value(HeartbeatAnswer, answer.json()).engine_tests


def take(worker: WorkerApi, test: EngineTest) -> Any:
    return worker.post(f"/internal/v1/engine-tests/{test.pk}/take", "{}")


def tell(worker: WorkerApi, test: EngineTest, outcome: EngineTestOutcome = OK) -> Any:
    return worker.post(f"/internal/v1/engine-tests/{test.pk}", outcome)


def ask(
    credential: EngineCredential | None = None, *, engine: str = "deepgram", **changes: Any
) -> EngineTest:
    return services.ask(
        **{"engine": engine, "event": None, "credential": credential, "language": "en", **changes}
    )


def test_it_is_offered_to_workers_that_have_the_engine_and_given_to_the_first_with_its_key(
    worker_api: WorkerApi, other_worker: WorkerApi, credential: EngineCredential
) -> None:
    test = ask(credential)

    assert beat(worker_api, engines=("embedded",)) == ()
    assert beat(worker_api, draining=True) == ()
    assert beat(worker_api) == beat(other_worker) == (str(test.pk),)
    given = take(worker_api, test)
    assert given.status_code == 200
    task = from_value(EngineTestTask, given.json())
    assert (task.test, task.language) == (str(test.pk), "en")
    assert (task.setup.engine, task.setup.model, task.setup.api_key) == ("deepgram", "nova-2", KEY)
    assert task.setup.is_typed
    refused = take(other_worker, test)
    assert (refused.status_code, refused.json()["code"]) == (409, "engine_test_taken")
    assert take(worker_api, test).status_code == 200  # the first answer may have been lost
    assert beat(other_worker) == ()


def test_without_a_credential_the_workers_own_settings_are_tried(worker_api: WorkerApi) -> None:
    test = ask()

    task = from_value(EngineTestTask, take(worker_api, test).json())

    assert (task.setup.api_key, task.setup.base_url, task.setup.is_typed) == ("", "", False)


def test_only_the_worker_that_took_it_says_what_came_of_it_and_only_once(
    worker_api: WorkerApi, other_worker: WorkerApi, credential: EngineCredential
) -> None:
    test = ask(credential)
    assert tell(worker_api, test).status_code == 409
    take(worker_api, test)

    assert tell(other_worker, test).status_code == 409
    assert tell(worker_api, test).status_code == 200
    assert tell(worker_api, test).status_code == 409
    assert take(worker_api, test).status_code == 409

    test = services.look(test)
    assert (test.result, test.taken_by, test.words) == ("ok", "worker-1", "good morning")
    assert (test.word_error_rate, test.latency_ms) == (0.25, 310)


def test_what_an_engine_says_is_kept_whatever_it_is(
    worker_api: WorkerApi, credential: EngineCredential
) -> None:
    test = ask(credential)
    take(worker_api, test)

    outcome = EngineTestOutcome(result=EngineTestResult.WRONG_WORDS, words="\0<b>" + "x" * 5000)
    assert tell(worker_api, test, outcome).status_code == 200

    assert services.look(test).words == "<b>" + "x" * 997


@pytest.mark.parametrize("engines", [None, ["embedded"]], ids=["no worker", "none that has it"])
def test_who_asks_for_an_engine_that_no_worker_has_is_told_at_once(
    engines: list[str] | None, credential: EngineCredential
) -> None:
    if engines:
        Worker.objects.create(name="w", heartbeat_at=timezone.now(), capacity=8, engines=engines)

    assert services.look(ask(credential)).result == EngineTestResult.NOT_INSTALLED


@pytest.mark.parametrize(
    ("asked_s", "taken_s", "is_installed", "result"),
    [
        (1, None, True, None),
        (1, None, False, EngineTestResult.NOT_INSTALLED),
        (14.1, None, True, EngineTestResult.NOT_TRIED),
        (14.9, 14, True, None),
        (14.9, 14, False, None),
        (16, 14.6, True, EngineTestResult.NOT_TRIED),
    ],
)
def test_it_is_over_in_time_whatever_becomes_of_the_worker(
    asked_s: float, taken_s: float | None, is_installed: bool, result: EngineTestResult | None
) -> None:
    now = timezone.now()
    test = EngineTest(
        asked_at=now - datetime.timedelta(seconds=asked_s),
        taken_at=taken_s and now - datetime.timedelta(seconds=taken_s),
    )

    assert services.why_over(test, now=now, is_installed=is_installed) is result


def test_one_that_is_over_is_neither_offered_nor_taken_nor_told(
    worker_api: WorkerApi, credential: EngineCredential
) -> None:
    beat(worker_api)
    test = ask(credential)
    take(worker_api, test)
    EngineTest.objects.update(taken_at=timezone.now() - datetime.timedelta(seconds=60))

    assert services.look(test).result == EngineTestResult.NOT_TRIED

    assert beat(worker_api) == ()
    assert take(worker_api, test).status_code == tell(worker_api, test).status_code == 409
    assert services.look(test).result == EngineTestResult.NOT_TRIED


def test_a_handful_a_minute_may_be_asked_for_by_one_and_a_few_more_by_all(
    credential: EngineCredential,
) -> None:
    for _ in range(5):
        ask(credential, asked_by="ada")
    with pytest.raises(Throttled):
        ask(credential, asked_by="ada")
    for number in range(15):
        ask(credential, asked_by=f"user-{number}")
    with pytest.raises(Throttled):
        ask(credential, asked_by="bob")


def test_old_ones_are_forgotten(credential: EngineCredential) -> None:
    old, new = ask(credential), ask(credential)
    EngineTest.objects.filter(pk=old.pk).update(asked_at=timezone.now() - datetime.timedelta(days=91))

    services.forget_old_tests()

    assert EngineTest.objects.get() == new


def test_an_unknown_test_is_not_to_be_had(worker_api: WorkerApi) -> None:
    assert worker_api.post(f"/internal/v1/engine-tests/{uuid.uuid4()}/take", "{}").status_code == 409


@pytest.fixture
def in_background() -> Iterator[Callable[..., threading.Thread]]:
    threads = []

    def start(work: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(10)


def a_worker(worker: WorkerApi, outcome: EngineTestOutcome) -> Callable[[], None]:
    """Beats until it is offered a test, and tells this of it."""

    def work() -> None:
        from django.db import connection

        try:
            deadline_s = time.monotonic() + 10
            while not (offered := beat(worker)) and time.monotonic() < deadline_s:
                time.sleep(0.05)
            test = EngineTest.objects.get(pk=offered[0])
            take(worker, test)
            tell(worker, test, outcome)
        finally:
            connection.close()

    return work


@pytest.mark.django_db(transaction=True)
def test_the_command_waits_for_a_worker_and_says_what_it_found(
    worker_api: WorkerApi, credential: EngineCredential, in_background: Callable[..., None], capsys: Any
) -> None:
    beat(worker_api)
    in_background(a_worker(worker_api, OK))

    call_command("test_engine", engine="deepgram")

    said = capsys.readouterr().out
    assert "Words: good morning" in said
    assert "Wrong words: 25%" in said
    assert "Latency: 310 ms" in said
    assert said.strip().endswith("ok: The engine works.")


@pytest.mark.django_db(transaction=True)
def test_the_command_fails_with_the_reason(
    worker_api: WorkerApi, credential: EngineCredential, in_background: Callable[..., None]
) -> None:
    beat(worker_api)
    in_background(a_worker(worker_api, EngineTestOutcome(result=EngineTestResult.BAD_KEY)))

    with pytest.raises(CommandError, match="bad_key: The engine does not accept the key"):
        call_command("test_engine", engine="deepgram")


def test_the_command_says_within_two_seconds_that_no_worker_has_the_engine(db: None) -> None:
    began = time.monotonic()
    with pytest.raises(CommandError, match="not_installed"):
        call_command("test_engine", engine="deepgram")
    assert time.monotonic() - began < 2


def test_the_command_takes_the_events_own_key_before_the_deployments(credential: EngineCredential) -> None:
    event = Event.objects.create(slug="summit", name="Summit")
    own = sealed(EngineCredential(engine="deepgram", event=event))
    with pytest.raises(CommandError):
        call_command("test_engine", engine="deepgram", event="summit")
    with pytest.raises(CommandError):
        call_command("test_engine", engine="deepgram")
    with pytest.raises(CommandError, match="no_event"):
        call_command("test_engine", engine="deepgram", event="other")

    assert [(t.event, t.credential) for t in EngineTest.objects.order_by("asked_at")] == [
        (event, own),
        (None, credential),
    ]
