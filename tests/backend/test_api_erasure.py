"""`DELETE rooms/{room}/transcript/`: of the meeting that goes on, by those who may."""

import time
import uuid
from collections.abc import Callable

import pytest

from backend.dispatch.rooms import require_presence
from backend.meetings.erased import erased_until_ms
from backend.meetings.models import Meeting
from backend.transcripts.models import Line
from tests.backend.conftest import Api, People
from tests.backend.kept import kept_meeting, say

pytestmark = pytest.mark.django_db(transaction=True)

LINES = 5000


@pytest.fixture
def ada(as_participant: Callable[..., Api]) -> Api:
    return as_participant("ada", room_admin=True)


@pytest.fixture
def bob(as_participant: Callable[..., Api]) -> Api:
    return as_participant("bob")


@pytest.fixture
def meeting(ada: Api, room_name: str) -> Meeting:
    sid = require_presence(room=room_name, identity="ada").room_sid
    meeting = kept_meeting(room=room_name, room_sid=sid)
    for identity in ("ada", "bob"):
        say(meeting, identity, f"{identity} speaks")
    return meeting


def speakers() -> list[str]:
    return sorted(Line.objects.values_list("speaker_identity", flat=True))


def test_a_room_admin_erases_everything_and_others_themselves_alone(
    ada: Api, bob: Api, meeting: Meeting, room_name: str
) -> None:
    path = f"rooms/{room_name}/transcript/"

    for others in (path, f"{path}?speaker=ada", f"{path}?speaker=nobody"):
        assert bob.delete(others).json()["code"] == "transcript_forbidden"
    assert speakers() == ["ada", "bob"]
    own = bob.delete(f"{path}?speaker=bob")
    assert (own.status_code, own.json()["erased"]["segments"], own.json()["by"]) == (
        200,
        1,
        "participant:bob",
    )
    assert speakers() == ["ada"]
    everything = ada.delete(path)
    assert (everything.status_code, everything.json()["erased"]["segments"]) == (200, 1)
    assert speakers() == []


def test_asked_for_again_it_gives_the_same_receipt_and_refuses_what_was_said_in_between(
    ada: Api, meeting: Meeting, room_name: str
) -> None:
    path = f"rooms/{room_name}/transcript/"
    first = ada.delete(path).json()
    said_ms = int(time.time() * 1000)

    assert ada.delete(path).json() == first
    assert erased_until_ms(Meeting.objects.get(pk=meeting.pk), ["bob"])["bob"] >= said_ms


def test_a_long_meeting_is_erased_within_a_second(ada: Api, meeting: Meeting, room_name: str) -> None:
    [line, *_] = Line.objects.filter(speaker_identity="ada")
    values = {field.attname: getattr(line, field.attname) for field in Line._meta.concrete_fields}
    del values["id"], values["segment_id"], values["change"]
    Line.objects.bulk_create(
        [Line(**values, segment_id=uuid.uuid4(), change=10 + n) for n in range(LINES)], batch_size=1000
    )
    began = time.monotonic()
    answer = ada.delete(f"rooms/{room_name}/transcript/")

    assert (answer.status_code, answer.json()["erased"]["segments"]) == (200, LINES + 2)
    assert time.monotonic() - began < 1


def test_what_is_not_there_or_not_of_this_shape_is_refused(
    ada: Api, bob: Api, people: People, room_name: str
) -> None:
    path = f"rooms/{room_name}/transcript/"

    assert ada.delete(path).json()["code"] == "transcript_absent"
    for speaker in ("", "%00", "x" * 257):
        assert ada.delete(f"{path}?speaker={speaker}").json()["code"] == "invalid_query"
    assert ada.delete("rooms/elsewhere/transcript/").json()["code"] == "room_forbidden"
    people.leave(room_name, "bob")
    assert bob.delete(f"{path}?speaker=bob").json()["code"] == "not_a_participant"
