"""Which lines a participant, and which meetings an account may read."""

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from backend.dispatch.rooms import Presence
from backend.errors import RoomAbsent, TranscriptForbidden
from backend.events.roles import READERS
from backend.meetings.models import Meeting, Person
from backend.tokens.claims import RoomClaims
from backend.transcripts.readers import (
    BACKLOG_MS,
    meeting_now,
    readable_lines,
    visible_transcripts,
)
from tests.backend.test_event_chains import made_event
from tests.backend.transcript_rows import made_line, made_meeting

pytestmark = pytest.mark.django_db

JOINED_MS = 1_700_000_000_000


def claims(*, is_room_admin: bool = False) -> RoomClaims:
    return RoomClaims(
        room="r",
        identity="bob",
        name="Bob",
        metadata="",
        is_room_admin=is_room_admin,
        is_captioner=False,
        can_publish=True,
        can_publish_sources=(),
        can_publish_data=True,
        can_subscribe=True,
        issued_by="key",
        expires_at_s=0,
    )


def presence(meeting: Meeting, *, joined_at_ms: int = JOINED_MS) -> Presence:
    return Presence(room_sid=meeting.room_sid, identity="bob", can_publish=True, joined_at_ms=joined_at_ms)


def read(meeting: Meeting, *, is_room_admin: bool = False, joined_at_ms: int = JOINED_MS) -> set[str]:
    lines = readable_lines(
        meeting=meeting,
        claims=claims(is_room_admin=is_room_admin),
        presence=presence(meeting, joined_at_ms=joined_at_ms),
    )
    return {line.text for line in lines}


@pytest.fixture
def meeting() -> Meeting:
    """One line that ended before what bob's backlog showed, one that reached into it, one after he had joined."""
    meeting = made_meeting()
    for text, end_ms in (
        ("before", JOINED_MS - BACKLOG_MS - 1),
        ("backlog", JOINED_MS - BACKLOG_MS),
        ("after", JOINED_MS + 5),
    ):
        made_line(meeting, text, start_ms=end_ms - 1_000, end_ms=end_ms)
    made_line(made_meeting(), "elsewhere")
    return meeting


@pytest.mark.parametrize(
    ("readers", "is_room_admin", "seen"),
    [
        ("joined", False, {"backlog", "after"}),
        ("joined", True, {"before", "backlog", "after"}),
        ("all", False, {"before", "backlog", "after"}),
        ("admins", True, {"before", "backlog", "after"}),
    ],
)
def test_each_reads_what_the_setting_says_of_their_own_meeting(
    meeting: Meeting, settings: Any, readers: str, is_room_admin: bool, seen: set[str]
) -> None:
    settings.TRANSCRIPT_READERS = readers

    assert read(meeting, is_room_admin=is_room_admin) == seen


def test_where_admins_alone_read_others_are_told_so_whether_or_not_there_is_anything(
    meeting: Meeting, settings: Any
) -> None:
    settings.TRANSCRIPT_READERS = "admins"

    for there_is in (meeting, None):
        with pytest.raises(TranscriptForbidden):
            readable_lines(meeting=there_is, claims=claims(), presence=presence(meeting))


def test_who_left_and_came_back_reads_from_their_first_join_on(meeting: Meeting) -> None:
    first = datetime.datetime.fromtimestamp(JOINED_MS / 1000, tz=datetime.UTC)
    Person.objects.create(meeting=meeting, identity="bob", first_joined_at=first)
    Person.objects.create(
        meeting=made_meeting(), identity="bob", first_joined_at=first - datetime.timedelta(1)
    )

    assert read(meeting, joined_at_ms=JOINED_MS + 10 * BACKLOG_MS) == {"backlog", "after"}


def test_a_wish_alone_is_no_join(meeting: Meeting) -> None:
    Person.objects.create(meeting=meeting, identity="bob", wants_captions=False)

    assert read(meeting, joined_at_ms=JOINED_MS + BACKLOG_MS) == {"after"}


def test_a_correction_of_what_was_said_before_their_window_never_comes_to_them(meeting: Meeting) -> None:
    line = meeting.lines.get(text="before")
    line.text, line.change, line.revision = "corrected", 99, 1
    line.save()

    assert read(meeting) == {"backlog", "after"}


def test_a_meeting_that_is_over_is_read_by_nobody_in_the_room(meeting: Meeting) -> None:
    assert meeting_now(presence(meeting), room="r") == meeting
    Meeting.objects.update(ended_at=datetime.datetime.now(datetime.UTC))

    with pytest.raises(RoomAbsent):
        meeting_now(presence(meeting), room="r")


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("operator", {"own", "foreign", "loose"}),
        ("organiser", {"own"}),
        ("reader", {"own", "foreign", "loose"}),
        ("nobody", set()),
    ],
)
def test_accounts_see_transcripts_of_their_own_events(role: str, sees: set[str]) -> None:
    events = {
        "own": made_event("own", slug="own"),
        "foreign": made_event("foreign", slug="foreign"),
        "loose": None,
    }
    for room, event in events.items():
        made_line(made_meeting(room, event=event))
        made_meeting(room, event=event)  # without a line there is no transcript
    user = User.objects.create_user(role, is_superuser=role == "operator")
    if role == "organiser":
        events["own"].organisers.add(user)
    if role == "reader":
        user.groups.add(Group.objects.get(name=READERS))

    assert sorted(meeting.room for meeting in visible_transcripts(user)) == sorted(sees)
