""" "Test this key" in the admin: for whom, what is shown, and that it works without a script."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from backend.engine_tests import services
from backend.engine_tests.models import EngineTest
from backend.events.models import EngineCredential, Event
from backend.events.roles import ORGANISERS, READERS
from contract.engines import EngineTestOutcome, EngineTestResult
from tests.backend.conftest import WorkerApi
from tests.backend.test_engine_tests import KEY, beat, sealed, take, tell
from tests.backend.test_usage import beat as beat_with
from tests.backend.test_usage import report, session_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(db: None) -> Event:
    return Event.objects.create(slug="summit", name="Summit")


@pytest.fixture
def credential(event: Event) -> EngineCredential:
    return sealed(EngineCredential(engine="deepgram", event=event))


@pytest.fixture
def of_all(db: None) -> EngineCredential:
    return sealed(EngineCredential(engine="deepgram"))


@pytest.fixture
def sign_in(event: Event) -> Any:
    def sign_in(who: str) -> Client:
        user = User.objects.create_user(
            who.replace(" ", "-"), is_staff=who != "nobody", is_superuser=who == "superuser"
        )
        if "organiser" in who:
            user.groups.add(Group.objects.get(name=ORGANISERS))
            own = event if who == "organiser" else Event.objects.create(slug="other", name="Other")
            own.organisers.add(user)
        if who == "reader":
            user.groups.add(Group.objects.get(name=READERS))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def ask(client: Client, credential: EngineCredential) -> Any:
    return client.post(reverse("admin:engine_tests_ask", args=[credential.pk]))


@pytest.mark.parametrize(
    ("who", "own_status", "all_status"),
    [
        ("superuser", 302, 302),
        ("organiser", 302, 404),
        ("organiser of another event", 404, 404),
        ("reader", 403, 403),
    ],
)
def test_a_key_is_tested_by_who_may_change_it(
    sign_in: Any,
    credential: EngineCredential,
    of_all: EngineCredential,
    who: str,
    own_status: int,
    all_status: int,
) -> None:
    client = sign_in(who)

    assert ask(client, credential).status_code == own_status
    assert ask(client, of_all).status_code == all_status
    tests = EngineTest.objects.filter(credential=credential)
    assert [test.asked_by for test in tests] == ([who] if own_status == 302 else [])


def test_who_is_not_signed_in_or_only_looks_asks_for_nothing(
    sign_in: Any, credential: EngineCredential
) -> None:
    url = reverse("admin:engine_tests_ask", args=[credential.pk])

    assert Client().post(url).url.startswith("/admin/login")
    assert sign_in("nobody").post(url).url.startswith("/admin/login")
    superuser = sign_in("superuser")
    assert superuser.get(url).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="superuser"))
    assert strict.post(url).status_code == 403
    assert not EngineTest.objects.exists()


@pytest.mark.parametrize(
    ("who", "status"),
    [("superuser", 200), ("organiser", 200), ("organiser of another event", 404), ("reader", 200)],
)
def test_a_test_is_seen_by_those_whose_event_it_is_and_by_those_who_see_all(
    sign_in: Any, credential: EngineCredential, event: Event, who: str, status: int
) -> None:
    test = services.ask(engine="deepgram", event=event, credential=credential)
    client = sign_in(who)

    for name in ("progress", "now"):
        assert client.get(reverse(f"admin:engine_tests_{name}", args=[test.pk])).status_code == status
    unknown = reverse("admin:engine_tests_now", args=[uuid.uuid4()])
    assert client.get(unknown).status_code == 404


def test_the_page_tells_each_step_to_who_has_scripts_and_to_who_has_none(
    sign_in: Any, credential: EngineCredential, worker_api: WorkerApi
) -> None:
    client = sign_in("organiser")
    beat(worker_api)
    asked = ask(client, credential)
    [test] = EngineTest.objects.all()
    now = reverse("admin:engine_tests_now", args=[test.pk])

    def page() -> str:
        return client.get(asked.url).text

    assert "Waiting for a worker" in page()
    assert '<noscript><meta http-equiv="refresh"' in page()
    assert "engine_tests/progress.js" in page()
    take(worker_api, test)
    assert "Worker worker-1 plays a clip" in page()
    assert client.get(now).json() == {
        "is_over": False,
        "is_ok": False,
        "sentence": "Worker worker-1 plays a clip of three seconds to the engine …",
        "figures": {},
    }
    outcome = EngineTestOutcome(
        result=EngineTestResult.WRONG_WORDS, words="<script>good", word_error_rate=0.8, latency_ms=310
    )
    tell(worker_api, test, outcome)
    assert client.get(now).json()["figures"] == {
        "Words": "<script>good",
        "Wrong words": "80%",
        "Latency": "310 ms after the end of speech",
    }
    over = page()
    assert "&lt;script&gt;good" in over and "<script>good" not in over
    assert 'http-equiv="refresh"' not in over
    assert "Test again" in over
    assert KEY not in over


def test_the_button_is_there_for_who_may_press_it(sign_in: Any, credential: EngineCredential) -> None:
    page = reverse("admin:events_enginecredential_change", args=[credential.pk])
    add = reverse("admin:events_enginecredential_add")

    assert "Test this key" in sign_in("organiser").get(page).text
    assert "Test this key" not in sign_in("reader").get(page).text
    assert "Test this key" not in sign_in("superuser").get(add).text


def test_who_asks_too_often_is_told_and_a_key_that_cannot_be_read_too(
    sign_in: Any, credential: EngineCredential
) -> None:
    client = sign_in("superuser")
    EngineCredential.objects.update(ciphertext="of another passphrase")

    assert (
        "sealed under another"
        in client.post(reverse("admin:engine_tests_ask", args=[credential.pk]), follow=True).text
    )
    sealed(credential)
    for _ in range(5):
        ask(client, credential)
    told = client.post(reverse("admin:engine_tests_ask", args=[credential.pk]), follow=True).text
    assert "Too many tests were asked for" in told


@pytest.mark.parametrize("model", ["engine_tests_enginetest", "usage_engineusage", "usage_monthusage"])
@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("superuser", {"Summit", "Secret"}),
        ("reader", {"Summit", "Secret"}),
        ("organiser", {"Summit"}),
        ("organiser of another event", set()),
    ],
)
def test_lists_are_to_look_at_and_name_no_event_of_others(
    sign_in: Any, worker_api: WorkerApi, event: Event, model: str, who: str, seen: set[str]
) -> None:
    for each in (event, Event.objects.create(slug="secret", name="Secret")):
        services.ask(engine="deepgram", event=each, credential=None)
        beat_with(worker_api, report(session_in(each, each.slug), deepgram=1_000))
    client = sign_in(who)

    page = client.get(reverse(f"admin:{model}_changelist"))

    assert page.status_code == 200
    assert {name for name in ("Summit", "Secret") if name in page.text} == seen
    assert client.get(reverse(f"admin:{model}_add")).status_code == 403
