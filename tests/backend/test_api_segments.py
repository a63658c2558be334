"""`/api/v1.0/rooms/{room}/segments/` against a real LiveKit: read, corrected, written."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from livekit import api

from backend.leases.models import Session
from backend.meetings.erased import remember_erased
from backend.meetings.models import Action, AuditEntry, KeptPeriod, Meeting, Person, Posted
from backend.throttles import services as throttles
from backend.throttles.services import CAPTIONS_OF_ONE, WINDOW_S
from backend.transcripts.models import Line
from backend.transcripts.readers import BACKLOG_MS
from contract.segments import MAX_TEXT_CHARS, Segment
from contract.shapes import from_value
from contract.status import State
from tests.backend.conftest import Api, People
from tests.backend.transcript_rows import made_line, made_lines, made_meeting, made_session
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]

CAPTIONER = {"attributes": {"roomscribe.role": "captioner"}}
LONG_AGO_MS = 1_700_000_000_000


@pytest.fixture
def path(room_name: str) -> str:
    return f"rooms/{room_name}/segments/"


@pytest.fixture
def ada(as_participant: Join) -> Api:
    """A room admin, who is in the room."""
    return as_participant("ada", room_admin=True)


@pytest.fixture
def meeting(ada: Api, livekit: LiveKitServer, people: People, room_name: str) -> Meeting:
    """The room's, whose transcript is kept."""
    return made_meeting(room_name, room_sid=sid_of(livekit, people, room_name))


def sid_of(livekit: LiveKitServer, people: People, room: str) -> str:
    async def listed() -> str:
        async with livekit.api() as lkapi:
            return (await lkapi.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms[0].sid

    return people.do(listed())


def texts(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [segment["text"] for segment in answer.json()["segments"]]


def posted(meeting: Meeting) -> list[Segment]:
    return [
        from_value(Segment, row.segment) for row in Posted.objects.filter(meeting=meeting).order_by("number")
    ]


# Reading


def test_a_line_is_told_with_all_that_is_known_of_it(ada: Api, meeting: Meeting, path: str) -> None:
    line = made_line(meeting, "Hello there.")

    answer = ada.get(path)

    assert answer.json() == {
        "segments": [
            {
                "id": str(line.segment_id),
                "sequence": 1,
                "revision": 0,
                "change": 1,
                "text": "Hello there.",
                "speaker_identity": "ada",
                "speaker_name": "Ada",
                "language": "en",
                "start_ms": line.start_ms,
                "end_ms": line.end_ms,
                "engine": "embedded",
                "human": False,
                "corrected": False,
                "track_sid": "TR_ada",
            }
        ],
        "next": 1,
    }
    assert answer["Cache-Control"] == "private, no-store"


def test_pages_follow_each_other_and_a_corrected_old_line_comes_again(
    ada: Api, meeting: Meeting, path: str
) -> None:
    first, *_ = made_lines(meeting, 5)
    seen, since = [], 0
    while (page := ada.get(f"{path}?since={since}&limit=2").json())["segments"]:
        seen += [segment["change"] for segment in page["segments"]]
        since = page["next"]
    assert (seen, since) == ([1, 2, 3, 4, 5], 5)

    ada.patch(f"{path}{first.segment_id}/", {"text": "Corrected."})

    [again] = ada.get(f"{path}?since={since}").json()["segments"]
    assert (again["id"], again["sequence"], again["revision"], again["change"], again["text"]) == (
        str(first.segment_id),
        1,
        1,
        6,
        "Corrected.",
    )


def test_where_nobody_has_wanted_anything_there_is_an_empty_page(ada: Api, path: str) -> None:
    answer = ada.get(f"{path}?since=7")

    assert (answer.status_code, answer.json()) == (200, {"segments": [], "next": 7})


def test_who_comes_late_reads_what_their_backlog_shows_and_learns_nothing_of_what_was_before(
    ada: Api, as_participant: Join, meeting: Meeting, path: str
) -> None:
    made_lines(meeting, 3)
    bob = as_participant("bob")
    empty = bob.get(path)
    assert (texts(empty), empty.json()["next"]) == ([], 0)

    made_line(meeting, "Said after bob had joined.")
    assert texts(bob.get(path)) == ["Said after bob had joined."]
    before = bob.get(path)

    # An old line is corrected: no page of bob's changes by it, nor any tag.
    old = Line.objects.get(change=2)
    assert ada.patch(f"{path}{old.segment_id}/", {"text": "Corrected."}).status_code == 200
    after = bob.get(path)
    assert (after.content, after["ETag"]) == (before.content, before["ETag"])
    assert len(texts(ada.get(path))) == 4

    Line.objects.filter(change=3).update(end_ms=Line.objects.get(change=4).end_ms - BACKLOG_MS + 60_000)
    assert len(texts(bob.get(path))) == 2


def test_a_page_somebody_has_is_not_sent_again_until_anything_in_it_is_another(
    ada: Api, meeting: Meeting, path: str
) -> None:
    first, _second = made_lines(meeting, 2)
    tag = ada.get(path)["ETag"]

    def status(known: str) -> tuple[int, bytes]:
        answer = ada.get(path, headers={"If-None-Match": known})
        assert answer["Cache-Control"] == "private, no-store"
        return answer.status_code, answer.content

    assert tag.startswith('W/"')
    assert status(tag) == status(f'"other", {tag}') == status(tag.removeprefix("W/")) == (304, b"")
    assert status('"other"')[0] == status("nonsense")[0] == 200
    assert ada.get(f"{path}?since=1", headers={"If-None-Match": tag}).status_code == 200
    Line.objects.filter(pk=first.pk).delete()
    assert status(tag)[0] == 200


def test_a_search_answers_the_same_page_with_the_lines_that_have_the_words(
    ada: Api, meeting: Meeting, path: str
) -> None:
    made_lines(meeting, 30)

    assert [line["change"] for line in ada.get(f"{path}?q=number7").json()["segments"]] == [7]
    page = ada.get(f"{path}?q=number&limit=2&since=4").json()
    assert ([line["change"] for line in page["segments"]], page["next"]) == ([5, 6], 6)
    assert texts(ada.get(f"{path}?q=")) == texts(ada.get(path))


def test_a_search_finds_nothing_the_reader_may_not_read(
    as_participant: Join, meeting: Meeting, path: str
) -> None:
    made_line(meeting, "The needle.", start_ms=LONG_AGO_MS, end_ms=LONG_AGO_MS + 1)

    assert texts(as_participant("bob").get(f"{path}?q=needle")) == []


def test_once_the_meeting_is_over_a_token_reads_nothing(ada: Api, meeting: Meeting, path: str) -> None:
    line = made_line(meeting)
    assert texts(ada.get(path)) == ["one two three"]
    Meeting.objects.filter(pk=meeting.pk).update(ended_at=meeting.began_at)

    for answer in (ada.get(path), ada.patch(f"{path}{line.segment_id}/", {"text": "x"})):
        assert (answer.status_code, answer.json()["code"]) == (404, "room_absent")


def test_another_life_of_the_room_is_another_meeting(
    ada: Api, meeting: Meeting, room_name: str, path: str
) -> None:
    made_line(made_meeting(room_name, room_sid="RM_before"), "In the meeting before.")

    assert texts(ada.get(path)) == []


def test_who_is_not_in_the_room_or_has_no_token_of_it_reads_nothing(
    meeting: Meeting, livekit: LiveKitServer, room_name: str, path: str
) -> None:
    made_line(meeting)
    outside, elsewhere = livekit.token(room_name, "eve"), livekit.token("another", "eve")

    assert [(Api(token).get(path)).json()["code"] for token in (outside, elsewhere, None)] == [
        "not_a_participant",
        "room_forbidden",
        "token_refused",
    ]


# Correcting


def test_a_correction_is_a_revision_with_its_history_noted_and_on_its_way_to_the_room(
    ada: Api, meeting: Meeting, path: str
) -> None:
    made_session(meeting)
    person = Person.objects.create(meeting=meeting, identity="bob", hides_name=True, number=3)
    line = made_line(meeting, "Helo.", speaker="bob", speaker_identity="speaker-3", speaker_name="Speaker 3")

    answer = ada.patch(f"{path}{line.segment_id}/", {"text": "  Hello,\n\tworld\u202e.\u0007 "})

    told = answer.json()
    assert answer.status_code == 200
    assert (told["text"], told["revision"], told["change"], told["corrected"]) == (
        "Hello, world.",
        1,
        2,
        True,
    )
    assert told["speaker_identity"] == "speaker-3"
    [before] = Line.objects.get(pk=line.pk).history.all()
    assert (before.revision, before.text, before.replaced_by) == (0, "Helo.", "ada")
    [entry] = AuditEntry.objects.all()
    assert (entry.action, entry.actor, entry.meeting) == (Action.CORRECT, "participant:ada", meeting.pk)
    assert entry.facts == {"segment": str(line.segment_id), "revision": 1}
    [segment] = posted(meeting)
    # In the room they are who LiveKit says they are; their name stays hidden.
    assert (segment.speaker_identity, segment.speaker_name) == (person.identity, "Speaker 3")
    assert (segment.id, segment.revision, segment.is_final, segment.is_corrected, segment.text) == (
        str(line.segment_id),
        1,
        True,
        True,
        "Hello, world.",
    )


def test_a_correction_that_changes_nothing_is_none(ada: Api, meeting: Meeting, path: str) -> None:
    made_session(meeting)
    line = made_line(meeting, "Hello.")

    answer = ada.patch(f"{path}{line.segment_id}/", {"text": " Hello. "})

    assert (answer.status_code, answer.json()["revision"]) == (200, 0)
    assert not (AuditEntry.objects.exists() or Posted.objects.exists() or line.history.exists())


@pytest.mark.parametrize("state", [None, State.STOPPING])
def test_without_an_agent_a_correction_is_stored_alone(
    ada: Api, meeting: Meeting, path: str, state: State | None
) -> None:
    if state:
        made_session(meeting, state=state)
    line = made_line(meeting)

    assert ada.patch(f"{path}{line.segment_id}/", {"text": "Hello."}).status_code == 200
    assert not Posted.objects.exists()


@pytest.mark.parametrize("policy", ["room_admin", "anyone"])
def test_only_room_admins_correct_whoever_may_have_a_transcript_kept(
    as_participant: Join, meeting: Meeting, path: str, settings: Any, policy: str
) -> None:
    settings.TRANSCRIPTS_POLICY = policy
    line, bob = made_line(meeting), as_participant("bob")

    answers = [
        bob.patch(f"{path}{which}/", {"text": "x"}) for which in (line.segment_id, uuid.uuid4(), "none")
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (403, "transcript_forbidden")
    }


def test_where_no_transcripts_are_kept_none_is_corrected(
    ada: Api, meeting: Meeting, path: str, settings: Any
) -> None:
    settings.TRANSCRIPTS_POLICY = "off"

    answer = ada.patch(f"{path}{made_line(meeting).segment_id}/", {"text": "x"})

    assert (answer.status_code, answer.json()["code"]) == (403, "transcripts_off")


def test_a_line_of_another_meeting_is_answered_as_one_that_is_nowhere(
    ada: Api, meeting: Meeting, path: str
) -> None:
    foreign = made_line(made_meeting("another"))

    answers = [
        ada.patch(f"{path}{which}/", {"text": "x"}) for which in (foreign.segment_id, uuid.uuid4(), "none")
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "segment_absent")}
    assert len({answer.content for answer in answers}) == 1
    foreign.refresh_from_db()
    assert foreign.revision == 0


def test_what_is_no_text_is_refused(ada: Api, meeting: Meeting, path: str) -> None:
    line = made_line(meeting)
    nothing_to_see = ["", "   ", "\u200b\u200e", "\u0007", "\u202e"]

    for text in [*nothing_to_see, "a\u0000", "\ud800", "x" * (MAX_TEXT_CHARS + 1), 5, None, ["x"]]:
        answer = ada.patch(f"{path}{line.segment_id}/", {"text": text})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body"), text


# Writing


@pytest.fixture
def cara(as_participant: Join) -> Api:
    return as_participant("cara", **CAPTIONER)


def test_a_captioners_line_is_in_the_timeline_after_what_was_said(
    cara: Api, meeting: Meeting, path: str
) -> None:
    session = made_session(meeting, last_sequence=41, language="fr")
    before_ms = int(time.time() * 1000)

    answer = cara.post(path, {"text": "Bonjour à tous."})

    told = answer.json()
    assert answer.status_code == 201
    assert (told["text"], told["language"], told["engine"], told["human"]) == (
        "Bonjour à tous.",
        "fr",
        "human",
        True,
    )
    assert (told["sequence"], told["revision"], told["change"], told["corrected"]) == (42, 0, 1, False)
    assert (told["speaker_identity"], told["speaker_name"], told["track_sid"]) == ("cara", "Cara", "")
    assert told["start_ms"] < before_ms <= told["end_ms"]
    session.refresh_from_db()
    assert session.last_sequence == 42
    [segment] = posted(meeting)
    assert (segment.id, segment.text, segment.engine) == (told["id"], "Bonjour à tous.", "human")
    assert texts(cara.get(path)) == ["Bonjour à tous."]


def test_a_line_that_is_sent_again_is_the_same_line(cara: Api, meeting: Meeting, path: str) -> None:
    made_session(meeting)
    body = {"text": "Once.", "id": str(uuid.uuid4()), "language": "de-AT"}

    first, second = cara.post(path, body), cara.post(path, body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert (Line.objects.count(), Posted.objects.count()) == (1, 1)


def test_a_line_that_only_the_room_sees_is_the_same_line_too(cara: Api, meeting: Meeting, path: str) -> None:
    KeptPeriod.objects.all().delete()
    Meeting.objects.update(kept_since=None)
    made_session(meeting)
    body = {"text": "Once.", "id": str(uuid.uuid4())}

    first, second = cara.post(path, body), cara.post(path, body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["change"] == 0
    assert (Line.objects.count(), Posted.objects.count()) == (0, 1)
    assert not Person.objects.exists()


def test_the_id_of_somebody_elses_line_cannot_be_taken(
    cara: Api, as_participant: Join, meeting: Meeting, path: str
) -> None:
    said, written = made_line(meeting, speaker="cara"), str(uuid.uuid4())
    assert cara.post(path, {"text": "Mine.", "id": written}).status_code == 201

    dan = as_participant("dan", **CAPTIONER)
    for api_, taken in ((cara, str(said.segment_id)), (dan, written)):
        answer = api_.post(path, {"text": "Mine!", "id": taken})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert sorted(Line.objects.values_list("text", flat=True)) == ["Mine.", "one two three"]


def test_without_subtitles_a_line_is_stored_and_without_either_refused(
    cara: Api, meeting: Meeting, path: str
) -> None:
    assert cara.post(path, {"text": "Stored."}).json()["sequence"] == 0
    assert not Posted.objects.exists()
    KeptPeriod.objects.all().delete()

    answer = cara.post(path, {"text": "Nobody would see it."})

    assert (answer.status_code, answer.json()["code"]) == (409, "nobody_would_see")
    Meeting.objects.all().delete()
    assert cara.post(path, {"text": "Nobody would see it."}).json()["code"] == "nobody_would_see"


def test_after_subtitles_that_have_ended_a_line_comes_after_all_of_theirs(
    cara: Api, meeting: Meeting, path: str
) -> None:
    session = made_session(meeting, last_sequence=7, state=State.IDLE, ended_at=meeting.began_at)

    assert cara.post(path, {"text": "Later."}).json()["sequence"] == 8
    assert Session.objects.get(pk=session.pk).last_sequence == 8


def test_what_was_said_when_no_transcript_was_kept_or_before_it_was_erased_is_not_kept(
    cara: Api, meeting: Meeting, path: str
) -> None:
    now_ms = int(time.time() * 1000)
    said = {"text": "Then.", "start_ms": now_ms - 5_000, "end_ms": now_ms - 4_000}
    KeptPeriod.objects.update(since=meeting.began_at)
    assert (
        cara.post(path, {**said, "start_ms": now_ms - 90_000, "end_ms": now_ms - 80_000}).status_code == 409
    )
    KeptPeriod.objects.update(since="2020-01-01T00:00Z")
    assert cara.post(path, said).status_code == 201
    remember_erased(meeting, "ada", until=meeting.began_at)
    assert cara.post(path, {**said, "id": str(uuid.uuid4())}).status_code == 201
    remember_erased(meeting, "cara", until=meeting.began_at)
    assert cara.post(path, said).status_code == 409
    meeting.erased_speakers.all().delete()
    Meeting.objects.update(erased_at=meeting.began_at)
    assert cara.post(path, said).status_code == 409


def test_whoever_hides_their_name_hides_it_in_what_they_write(cara: Api, meeting: Meeting, path: str) -> None:
    made_session(meeting)
    Person.objects.create(meeting=meeting, identity="cara", hides_name=True, number=2)

    told = cara.post(path, {"text": "Hello."}).json()

    assert (told["speaker_identity"], told["speaker_name"]) == ("speaker-2", "Speaker 2")
    [segment] = posted(meeting)
    assert (segment.speaker_identity, segment.speaker_name) == ("cara", "Speaker 2")


def test_a_captioners_line_can_be_corrected(ada: Api, cara: Api, meeting: Meeting, path: str) -> None:
    line = cara.post(path, {"text": "Helo."}).json()

    told = ada.patch(f"{path}{line['id']}/", {"text": "Hello."}).json()

    assert (told["text"], told["human"], told["corrected"], told["revision"]) == ("Hello.", True, True, 1)


def test_only_the_tokens_own_word_makes_a_captioner(
    as_participant: Join, people: People, livekit: LiveKitServer, meeting: Meeting, room_name: str, path: str
) -> None:
    others = [as_participant("eve", attributes={"roomscribe.role": "Captioner"}), as_participant("fay")]
    # An attribute of the room, which somebody with this grant may change.
    gil = people.join(room_name, "gil", can_update_own_metadata=True)
    people.do(gil.local_participant.set_attributes({"roomscribe.role": "captioner"}))
    others.append(Api(livekit.token(room_name, "gil", can_update_own_metadata=True)))

    for other in others:
        answer = other.post(path, {"text": "x"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_captioner")
    outside = Api(livekit.token(room_name, "cara", **CAPTIONER)).post(path, {"text": "x"})
    assert outside.json()["code"] == "not_a_participant"


NOW_MS = int(time.time() * 1000)


WRONG: list[dict[str, Any]] = [
    {"text": ""},
    {"text": "\u200b"},
    {"language": "not a tag"},
    {"language": "e" * 36},
    {"start_ms": "1"},
    {"start_ms": True},
    {"start_ms": 1.5},
    {"start_ms": -1},
    {"start_ms": 0, "end_ms": 0},
    {"end_ms": 10**40},
    {"start_ms": NOW_MS, "end_ms": NOW_MS - 1},
    {"start_ms": NOW_MS - 700_000, "end_ms": NOW_MS},
    {"end_ms": NOW_MS + 3_600_000},
    {"id": "none"},
    {"id": 5},
    {"id": None},
]


def test_what_is_no_line_is_refused(cara: Api, meeting: Meeting, path: str) -> None:
    for wrong in WRONG:
        answer = cara.post(path, {"text": "Hello.", **wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body"), wrong
    assert not Line.objects.exists()


def test_a_captioner_has_a_limit_of_their_own(cara: Api, meeting: Meeting, room_name: str, path: str) -> None:
    if time.time() % WINDOW_S > WINDOW_S - 5:  # all in one window
        time.sleep(5)
    for _ in range(CAPTIONS_OF_ONE.most - 1):
        throttles.take(CAPTIONS_OF_ONE, room_name, "cara")

    assert [cara.post(path, {"text": "Hello."}).status_code for _ in range(2)] == [201, 429]
    assert cara.get(path).status_code == 200
