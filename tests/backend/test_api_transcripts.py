"""`/api/v1.0/transcripts/`: what organisers and operators read with an account."""

import datetime
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from backend.meetings.models import Meeting
from backend.transcripts.accounts import after, transcripts_with
from tests.backend.conftest import Api
from tests.backend.test_event_chains import made_event
from tests.backend.transcript_rows import made_line, made_lines, made_meeting
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db

LIST = "/api/v1.0/transcripts/"


class Account:
    """The API, as somebody with an account's token sees it."""

    def __init__(self, name: str, **of: Any) -> None:
        self.user = User.objects.create_user(name, **of)
        self.headers = {"Authorization": f"Token {Token.objects.create(user=self.user).key}"}

    def get(self, path: str = "") -> Any:
        return Client().get(f"{LIST}{path}", headers=self.headers)

    def rooms(self, query: str = "") -> list[str]:
        return [transcript["room"] for transcript in self.get(query).json()["transcripts"]]


@pytest.fixture
def operator(db: None) -> Account:
    return Account("operator", is_superuser=True)


@pytest.fixture
def organiser(db: None) -> Account:
    """Of the event `own`, whose room `own` has a transcript; so has the room of another event."""
    account = Account("organiser")
    own = made_event("own", slug="own", transcript_retention_days=3)
    own.organisers.add(account.user)
    for room, event in (("own", own), ("foreign", made_event("foreign", slug="foreign"))):
        made_lines(made_meeting(room, event=event), 3)
    return account


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_transcript_in_the_list_tells_what_is_in_it_and_when_it_is_due(organiser: Account) -> None:
    meeting = Meeting.objects.get(room="own")
    made_line(meeting, speaker="zoe", language="de")
    Meeting.objects.filter(pk=meeting.pk).update(ended_at=meeting.began_at)

    answer = organiser.get()

    began = meeting.began_at.isoformat().replace("+00:00", "Z")
    due = (meeting.began_at + datetime.timedelta(days=3)).isoformat().replace("+00:00", "Z")
    assert answer.json() == {
        "transcripts": [
            {
                "id": str(meeting.pk),
                "room": "own",
                "event": "own",
                "began_at": began,
                "ended_at": began,
                "lines": 4,
                "languages": ["de", "en"],
                "people": 4,
                "kept_until": due,
            }
        ],
        "next": None,
    }
    assert answer["Cache-Control"] == "private, no-store"


def test_a_meeting_of_no_event_is_kept_by_the_deployments_clock_from_its_end_on(
    operator: Account, settings: Any
) -> None:
    settings.TRANSCRIPT_RETENTION_DAYS = 9
    goes_on, over = made_meeting("goes on"), made_meeting("over", ended_at=timezone.now())
    made_line(goes_on), made_line(over)

    told = {found["room"]: found for found in operator.get().json()["transcripts"]}

    assert (told["goes on"]["kept_until"], told["goes on"]["event"]) == (None, None)
    due = datetime.datetime.fromisoformat(told["over"]["kept_until"])
    assert due - over.ended_at == datetime.timedelta(days=9)


def test_pages_of_the_list_hold_each_transcript_once_whatever_began_at_the_same_time(
    operator: Account,
) -> None:
    for number in range(7):
        made_line(made_meeting(f"room-{number}"))
    Meeting.objects.filter(room__in=["room-1", "room-2", "room-3"]).update(began_at=timezone.now())
    seen: list[str] = []
    query = "?limit=2"
    while query:
        page = operator.get(query).json()
        seen += [transcript["room"] for transcript in page["transcripts"]]
        query = page["next"] and f"?limit=2&cursor={page['next']}"

    assert len(seen) == 7
    assert set(seen[:3]) == {"room-1", "room-2", "room-3"}
    assert seen[3:] == ["room-6", "room-5", "room-4", "room-0"]


def test_a_search_finds_the_meetings_in_which_it_was_said_of_those_one_may_see(
    operator: Account, organiser: Account
) -> None:
    made_line(Meeting.objects.get(room="foreign"), "The needle in the haystack.")

    assert operator.rooms("?q=needle") == ["foreign"]
    assert operator.rooms("?q=number1") == ["foreign", "own"]
    assert organiser.rooms("?q=needle") == []
    assert organiser.rooms("?q=number1") == ["own"]
    assert operator.rooms("?q=nowhere") == []


@pytest.mark.parametrize(
    ("look_for_s", "most_hits"),
    [(10, 0), (0, 1_000), (0, 0)],
    ids=["looked through", "by index", "too many hits"],
)
def test_however_a_word_is_looked_for_the_pages_together_hold_each_meeting_once(
    db: None, look_for_s: float, most_hits: int
) -> None:
    for number in range(9):
        meeting = made_meeting(f"room-{number}")
        made_line(meeting, "alpha" if number % 3 else "beta")
        made_line(meeting, "alpha" if number % 3 else "beta")
    meetings = Meeting.objects.order_by("-began_at", "-pk")
    seen: list[str] = []
    older, cursor = meetings, ""
    while cursor is not None:
        page = transcripts_with(older, query="alpha", limit=2, look_for_s=look_for_s, most_hits=most_hits)
        seen += [transcript.room for transcript in page.transcripts]
        assert len(page.transcripts) <= 2
        cursor = page.next
        older = after(meetings, cursor) if cursor else meetings

    assert seen == [f"room-{number}" for number in (8, 7, 5, 4, 2, 1)]


def test_one_transcript_comes_with_a_page_of_its_lines(organiser: Account) -> None:
    meeting = Meeting.objects.get(room="own")

    page = organiser.get(f"{meeting.pk}/?since=1&limit=1").json()
    found = organiser.get(f"{meeting.pk}/?q=number3").json()

    assert (page["lines"], [line["change"] for line in page["segments"]], page["next"]) == (3, [2], 2)
    assert [line["change"] for line in found["segments"]] == [3]


def test_what_one_may_not_see_is_answered_as_what_is_not_there(organiser: Account) -> None:
    foreign = Meeting.objects.get(room="foreign").pk
    without_lines = made_meeting("own", event=Meeting.objects.get(room="own").event).pk

    answers = [organiser.get(f"{which}/") for which in (foreign, without_lines, uuid.uuid4(), "none", "%00")]

    assert {refused(answer) for answer in answers} == {(404, "transcript_absent")}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1000000000",
        "limit=x",
        "cursor=x",
        "cursor=9-9",
        "cursor=" + "9" * 17 + "-x",
        "q=...",
    ],
)
def test_a_query_of_no_such_shape_is_refused(organiser: Account, query: str) -> None:
    assert refused(organiser.get(f"?{query}")) == (400, "invalid_query")


def test_a_session_reads_as_a_token_does(organiser: Account) -> None:
    client = Client()
    client.force_login(organiser.user)

    assert client.get(LIST).json() == organiser.get().json()


def test_a_request_that_changes_something_by_session_needs_the_csrf_token(organiser: Account) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(organiser.user)

    assert refused(client.post(LIST)) == (401, "account_refused")
    by_token = Client(enforce_csrf_checks=True).post(LIST, headers=organiser.headers)
    assert refused(by_token) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Token",
        "Token x",
        "Token " + "0" * 40,
        "Token " + "0" * 10_000,
        "Token \u00e9",
        "Basic YTpi",
        "Token a\0b",
    ],
)
def test_what_is_no_accounts_token_is_refused_session_or_not(organiser: Account, header: str) -> None:
    client = Client()
    client.force_login(organiser.user)

    answer = client.get(LIST, headers={"Authorization": header})

    assert refused(answer) == (401, "account_refused")
    assert answer["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("key", ["", "x", '"abc\\000defghijkl"', "a" * 32, "é" * 32])
def test_a_cookie_of_no_session_is_refused(db: None, key: str) -> None:
    client = Client()
    client.cookies["sessionid"] = key

    assert refused(client.get(LIST)) == (401, "account_refused")


def test_whose_account_was_switched_off_is_refused(organiser: Account) -> None:
    client = Client()
    client.force_login(organiser.user)
    User.objects.update(is_active=False)

    assert refused(organiser.get()) == refused(client.get(LIST)) == (401, "account_refused")


def test_a_participants_token_is_no_account_and_an_account_is_no_participant(
    operator: Account, livekit: LiveKitServer, room_name: str
) -> None:
    participant = Api(livekit.token(room_name, "ada", room_admin=True))
    assert refused(participant.get("transcripts/")) == (401, "account_refused")

    client = Client()
    client.force_login(operator.user)
    for path in (f"rooms/{room_name}/segments/", f"rooms/{room_name}/subtitles/"):
        for headers in ({}, operator.headers):
            assert refused(client.get(f"/api/v1.0/{path}", headers=headers)) == (401, "token_refused")
