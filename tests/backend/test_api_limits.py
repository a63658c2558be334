"""Who may start and stop, and how often."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from backend.errors import Throttled
from backend.leases import services as leases
from backend.leases.models import Session
from backend.subtitles.policy import Policy, is_allowed
from backend.throttles import services as throttles
from backend.throttles.models import Count
from backend.throttles.services import Limit
from tests.backend.conftest import Api, People
from tests.backend.test_leases_together import all_at_once
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]


@pytest.mark.parametrize(("can_publish", "is_room_admin"), [*itertools.product([True, False], repeat=2)])
def test_each_policy_asks_for_its_own_right(can_publish: bool, is_room_admin: bool) -> None:
    rights = {"can_publish": can_publish, "is_room_admin": is_room_admin}

    assert is_allowed(Policy.ANYONE, **rights)
    assert is_allowed(Policy.PUBLISHERS, **rights) is can_publish
    assert is_allowed(Policy.ROOM_ADMIN, **rights) is is_room_admin


@pytest.mark.parametrize(
    ("policy", "listener", "speaker", "admin"),
    [("anyone", 201, 201, 201), ("publishers", 403, 201, 201), ("room_admin", 403, 403, 201)],
)
def test_the_policy_decides_who_starts(
    as_participant: Join, room_name: str, settings: Any, policy: str, listener: int, speaker: int, admin: int
) -> None:
    settings.SUBTITLES_POLICY = policy
    path = f"rooms/{room_name}/subtitles/"
    people = [
        (listener, as_participant("listener", can_publish=False)),
        (speaker, as_participant("speaker")),
        (admin, as_participant("admin", room_admin=True)),
    ]
    for status, person in people:
        answer = person.post(path, {})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "policy_forbids"
            assert person.delete(path).status_code == 403
        Session.objects.all().delete()


def test_publishing_is_asked_of_livekit_and_not_of_the_token(
    livekit: LiveKitServer, people: People, room_name: str, settings: Any
) -> None:
    settings.SUBTITLES_POLICY = "publishers"
    people.join(room_name, "ada", can_publish=False)

    answer = Api(livekit.token(room_name, "ada", can_publish=True)).post(f"rooms/{room_name}/subtitles/", {})

    assert answer.status_code == 403


def test_who_asks_for_what_already_runs_is_never_refused(
    as_participant: Join, room_name: str, settings: Any
) -> None:
    settings.SUBTITLES_POLICY = "room_admin"
    path = f"rooms/{room_name}/subtitles/"
    viewer, admin = as_participant("viewer", can_publish=False), as_participant("admin", room_admin=True)
    admin.post(path, {})

    assert {viewer.post(path, {}).status_code for _ in range(40)} == {200}


def test_changes_of_one_person_are_limited_and_the_answer_says_for_how_long(
    as_participant: Join, room_name: str
) -> None:
    ada, bob = as_participant("ada"), as_participant("bob")
    path = f"rooms/{room_name}/subtitles/"

    answers = [answer for _ in range(6) for answer in (ada.post(path, {}), ada.delete(path))]

    assert {answer.status_code for answer in answers[:10]} == {200, 201}
    assert (answers[10].status_code, answers[10].json()["code"]) == (429, "throttled")
    assert 0 < int(answers[10]["Retry-After"]) <= 60
    assert bob.post(path, {}).status_code == 201


def test_a_limit_is_exact_however_many_ask_at_once() -> None:
    limit = Limit(name="test", most=5)

    def try_it(_: int) -> bool:
        try:
            throttles.take(limit, "room", "ada")
        except Throttled:
            return False
        return True

    assert sum(all_at_once(try_it)) == 5
    assert Count.objects.get().count == 5


def test_subjects_are_counted_apart_and_their_names_are_not_kept() -> None:
    limit = Limit(name="test", most=1)

    throttles.take(limit, "room", "zoe")
    throttles.take(limit, "room", "bob")
    with pytest.raises(Throttled):
        throttles.take(limit, "room", "zoe")

    assert not any("zoe" in count.key for count in Count.objects.all())


def test_a_start_that_is_refused_leaves_no_session(as_participant: Join, room_name: str) -> None:
    ada = as_participant()
    path = f"rooms/{room_name}/subtitles/"
    for _ in range(5):
        ada.post(path, {})
        ada.delete(path)

    assert ada.post(path, {}).status_code == 429

    assert not Session.objects.filter(ended_at=None).exists()


def test_of_many_who_start_at_once_only_the_first_is_counted() -> None:
    limit = Limit(name="test", most=1)

    def start(number: int) -> bool:
        _, is_new = leases.open_session(
            room="r",
            room_sid="RM_1",
            language="en",
            engine="embedded",
            started_by=f"person-{number}",
            charge=lambda: throttles.take(limit, "r"),
        )
        return is_new

    assert sum(all_at_once(start)) == 1
