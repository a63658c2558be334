"""`PATCH /api/v1.0/rooms/{room}/subtitles/`: another language while subtitles run."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from livekit import rtc

from backend.errors import Throttled
from backend.leases import services as leases
from backend.leases.models import Session, Worker
from backend.throttles import services as throttles
from backend.throttles.services import Limit
from contract.engines import CATALOGUE
from contract.names import PATH_CLAIM, PATH_HEARTBEAT
from contract.status import State
from contract.workers import ClaimRequest, JobReport, WorkerHeartbeat
from tests.backend.conftest import Api, People, WorkerApi
from tests.backend.test_leases_together import all_at_once

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]


@pytest.fixture
def many_languages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that speaks more than the bundled one."""
    bundled = CATALOGUE["embedded"]
    monkeypatch.setitem(CATALOGUE, "embedded", dataclasses.replace(bundled, languages=("en", "fr", "de")))
    return


@pytest.fixture
def path(room_name: str) -> str:
    return f"rooms/{room_name}/subtitles/"


def test_the_language_changes_for_everybody_and_nothing_else_does(
    as_participant: Join, many_languages: None, path: str
) -> None:
    ada, bob = as_participant("ada"), as_participant("bob")
    started = ada.post(path, {"language": "en"}).json()

    changed = bob.patch(path, {"language": "fr"})

    assert (changed.status_code, changed.json()) == (200, {**started, "language": "fr"})
    assert ada.get(path).json() == changed.json()


def test_a_running_agent_is_told_with_its_next_heartbeat_and_the_next_one_begins_with_it(
    as_participant: Join, many_languages: None, idle_worker: Worker, worker_api: WorkerApi, path: str
) -> None:
    ada = as_participant()
    ada.post(path, {"language": "en"})
    session = str(Session.objects.get().pk)

    def claim() -> Any:
        return worker_api.post(PATH_CLAIM.format(session=session), ClaimRequest(generation=1)).json()

    def told() -> str:
        jobs = (JobReport(session=session, generation=1, state=State.LIVE),)
        heartbeat = WorkerHeartbeat(capacity=8, draining=False, engines=("embedded",), jobs=jobs)
        [command] = worker_api.post(PATH_HEARTBEAT.format(worker="worker-1"), heartbeat).json()["jobs"]
        return str(command["language"])

    assert (claim()["language"], told()) == ("en", "en")

    ada.patch(path, {"language": "de"})

    assert (claim()["language"], told()) == ("de", "de")


def test_the_room_is_told_of_the_change(
    as_participant: Join, many_languages: None, people: People, path: str, room_name: str
) -> None:
    ada = as_participant()
    ada.post(path, {"language": "en"})
    viewer, french = people.join(room_name, "viewer"), asyncio.Event()

    def hear(packet: rtc.DataPacket) -> None:
        if packet.topic == "roomscribe.status" and b'"language":"fr"' in packet.data:
            french.set()

    viewer.on("data_received", hear)
    ada.patch(path, {"language": "fr"})

    people.do(asyncio.wait_for(french.wait(), 1))


def test_where_no_subtitles_run_there_is_nothing_to_change(
    as_participant: Join, many_languages: None, path: str
) -> None:
    ada = as_participant()

    answer = ada.patch(path, {"language": "fr"})

    assert (answer.status_code, answer.json()["state"], answer.json()["language"]) == (200, "idle", "en")
    assert not Session.objects.exists()


def test_what_is_being_stopped_stays_as_it_was(as_participant: Join, many_languages: None, path: str) -> None:
    ada = as_participant()
    ada.post(path, {"language": "en"})
    leases.begin_stop(Session.objects.get())

    answer = ada.patch(path, {"language": "fr"}).json()

    assert (answer["state"], answer["language"]) == ("stopping", "en")


def test_subtitles_of_an_earlier_meeting_are_not_changed(
    as_participant: Join, many_languages: None, path: str, room_name: str
) -> None:
    earlier = Session.objects.create(
        room=room_name, room_sid="RM_earlier", language="en", engine="embedded", started_by="eve"
    )

    assert as_participant().patch(path, {"language": "fr"}).json()["state"] == "idle"

    earlier.refresh_from_db()
    assert earlier.language == "en"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"language": "tlh"}, "language_not_available"),
        ({}, "invalid_body"),
        ({"language": None}, "invalid_body"),
        ({"language": ""}, "invalid_body"),
        ({"language": ["en"]}, "invalid_body"),
        ([], "invalid_body"),
    ],
)
def test_a_language_there_is_not_or_none_at_all_is_a_bad_request(
    as_participant: Join, path: str, body: object, code: str
) -> None:
    ada = as_participant()
    ada.post(path, {})

    answer = ada.patch(path, body)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert ada.get(path).json()["language"] == "en"


def test_whoever_may_not_stop_may_not_change_either(
    as_participant: Join, many_languages: None, path: str, settings: Any
) -> None:
    settings.SUBTITLES_POLICY = "publishers"
    listener, speaker = as_participant("listener", can_publish=False), as_participant("speaker")
    speaker.post(path, {"language": "en"})

    refused = listener.patch(path, {"language": "fr"})

    assert (refused.status_code, refused.json()["code"]) == (403, "policy_forbids")
    assert speaker.patch(path, {"language": "fr"}).json()["language"] == "fr"


def test_changes_are_limited_and_what_changes_nothing_is_not_counted(
    as_participant: Join, many_languages: None, path: str
) -> None:
    ada = as_participant()
    ada.post(path, {"language": "en"})
    languages = ["fr", "fr", "de", "de", "en", "en"] * 3

    answers = [ada.patch(path, {"language": language}) for language in languages]

    # The start was the first of ten changes; every second request here changes nothing.
    assert [answer.status_code for answer in answers[:18]] == [200] * 18
    refused = ada.patch(path, {"language": "fr"})
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused["Retry-After"]) <= 60
    assert ada.patch(path, {"language": "en"}).json()["language"] == "en"
    assert ada.post(path, {"language": "en"}).status_code == 200


def test_of_many_who_change_it_at_once_one_is_counted_for_each_change() -> None:
    session, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    limit = Limit(name="test", most=2)

    def change(_: int) -> bool:
        return leases.change_language(session, "fr", charge=lambda: throttles.take(limit, "r"))

    assert sum(all_at_once(change)) == 1
    throttles.take(limit, "r")
    with pytest.raises(Throttled):
        leases.change_language(session, "de", charge=lambda: throttles.take(limit, "r"))
    session.refresh_from_db()
    assert session.language == "fr"
