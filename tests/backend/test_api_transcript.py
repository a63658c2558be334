"""`PUT rooms/{room}/transcript/` and `rooms/{room}/me/`, against a real LiveKit."""

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from livekit import rtc

from backend.dispatch.rooms import people_now
from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.models import AuditEntry, KeptPeriod, Meeting, Person, Posted
from backend.meetings.services import opened_meeting
from backend.meetings.wishes import wishes_of
from backend.transcripts.models import Line, LineRevision
from backend.usage.models import EngineUsage
from contract.segments import Segment
from contract.shapes import from_json
from contract.status import State, Status
from contract.transcripts import Transcript, Wish
from tests.backend.conftest import Api, People
from tests.backend.test_event_chains import made_event, made_key
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]


@pytest.fixture
def path(room_name: str) -> str:
    return f"rooms/{room_name}/transcript/"


@pytest.fixture
def me(room_name: str) -> str:
    return f"rooms/{room_name}/me/"


@pytest.fixture
def admin(as_participant: Join) -> Api:
    return as_participant("admin", room_admin=True)


def put(person: Api, path: str, **body: object) -> Any:
    return person.call("PUT", path, body)


def test_who_may_switches_it_on_and_off_and_all_of_that_is_written_down(
    admin: Api, path: str, room_name: str, settings: Any
) -> None:
    settings.STT_PROVIDER, settings.STT_FALLBACK = "deepgram", ["embedded"]
    settings.STT_BASE_URL = "wss://user:secret@speech.example.org:8443/v1/listen?x=y"

    on = put(admin, path, keep=True)

    assert (on.status_code, on.json()["transcript"], on.json()["state"]) == (200, "on", "idle")
    meeting = Meeting.objects.get()
    assert (meeting.room, meeting.kept_since) == (room_name, KeptPeriod.objects.get(until=None).since)
    assert admin.get(f"rooms/{room_name}/subtitles/").json() == on.json()

    off = put(admin, path, keep=False)

    assert (off.status_code, off.json()["transcript"]) == (200, "off")
    meeting.refresh_from_db()
    assert (meeting.kept_since, KeptPeriod.objects.filter(until=None).count()) == (None, 0)
    stopped, kept = AuditEntry.objects.all()
    assert [(e.action, e.actor, e.room, e.meeting) for e in (kept, stopped)] == [
        ("keep", "participant:admin", room_name, meeting.pk),
        ("stop_keeping", "participant:admin", room_name, meeting.pk),
    ]
    assert kept.facts == {
        "engines": [
            {"engine": "deepgram", "audio_goes_to": "speech.example.org"},
            {"engine": "embedded", "audio_goes_to": "this deployment"},
        ]
    }
    assert stopped.facts == {"engines": []}


def test_what_is_so_already_changes_nothing_and_is_written_down_once(admin: Api, path: str) -> None:
    assert put(admin, path, keep=False).json()["transcript"] == "off"
    assert not Meeting.objects.exists()

    answers = [put(admin, path, keep=True) for _ in range(15)]

    assert {answer.status_code for answer in answers} == {200}
    assert (KeptPeriod.objects.count(), AuditEntry.objects.count()) == (1, 1)
    assert answers[0].json() == answers[-1].json()


def test_the_log_names_the_hosts_of_an_events_own_engines_and_what_was_really_used(
    admin: Api, path: str, room_name: str
) -> None:
    event = made_event(room_name, chain=["deepgram", "mistral", "whisper"])
    made_key("deepgram", event=event, base_url="https://eu.example.org/listen")

    put(admin, path, keep=True)
    admin.post(f"rooms/{room_name}/subtitles/", {})
    session = Session.objects.get()
    EngineUsage.objects.create(session=session, generation=1, engine="mistral", audio_ms=10)
    put(admin, path, keep=False)

    stopped, kept = AuditEntry.objects.all()
    assert [(e["engine"], e["audio_goes_to"]) for e in kept.facts["engines"]] == [
        ("deepgram", "eu.example.org"),
        ("mistral", "api.mistral.ai"),
        ("whisper", "unknown"),
        ("embedded", "this deployment"),
    ]
    assert stopped.facts == {"engines": [{"engine": "mistral", "audio_goes_to": "api.mistral.ai"}]}
    assert {kept.event, stopped.event, Meeting.objects.get().event, session.meeting.event} == {event}


@pytest.mark.parametrize(
    ("deployment", "of_event", "person", "room_admin"),
    [
        ("room_admin", "", "policy_forbids", ""),
        ("anyone", "", "", ""),
        ("off", "", "transcripts_off", "transcripts_off"),
        ("room_admin", "anyone", "", ""),
        ("anyone", "room_admin", "policy_forbids", ""),
        ("anyone", "off", "transcripts_off", "transcripts_off"),
        ("off", "anyone", "transcripts_off", "transcripts_off"),
    ],
)
def test_the_deployments_policy_and_the_events_decide_who_may(
    as_participant: Join,
    admin: Api,
    path: str,
    room_name: str,
    settings: Any,
    deployment: str,
    of_event: str,
    person: str,
    room_admin: str,
) -> None:
    settings.TRANSCRIPTS_POLICY = deployment
    made_event(room_name, transcript_policy=of_event)

    for who, code in [(as_participant("ada"), person), (admin, room_admin)]:
        assert who.get(path.replace("transcript/", "me/")).json()["may_keep"] == (not code)
        answer = put(who, path, keep=True)
        assert (answer.status_code, answer.json().get("code", "")) == (403 if code else 200, code)
        assert Meeting.objects.exists() == (not code)
        Meeting.objects.all().delete()
    assert Client().get("/api/v1.0/config/").json()["transcripts_enabled"] == (deployment != "off")


def test_where_none_may_be_kept_any_more_an_admin_still_stops_one(
    as_participant: Join, admin: Api, path: str, settings: Any
) -> None:
    put(admin, path, keep=True)
    settings.TRANSCRIPTS_POLICY = "off"

    assert put(as_participant("ada"), path, keep=False).status_code == 403
    assert put(admin, path, keep=False).json()["transcript"] == "off"


def test_changes_are_limited_and_one_that_is_refused_leaves_nothing(admin: Api, path: str) -> None:
    answers = [put(admin, path, keep=number % 2 == 0) for number in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert Meeting.objects.get().kept_since is None
    assert (KeptPeriod.objects.count(), AuditEntry.objects.count()) == (5, 10)


def test_the_whole_room_is_told_at_once_with_subtitles_and_without(
    admin: Api, path: str, people: People, room_name: str
) -> None:
    viewer = people.join(room_name, "viewer")
    told: asyncio.Queue[Status] = asyncio.Queue()
    viewer.on("data_received", lambda packet: told.put_nowait(from_json(Status, packet.data)))

    def heard() -> tuple[State, Transcript]:
        status = people.do(asyncio.wait_for(told.get(), 5))
        return status.state, status.transcript

    put(admin, path, keep=True)
    assert heard() == (State.IDLE, Transcript.ON)
    put(admin, path, keep=False)
    assert heard() == (State.IDLE, Transcript.OFF)

    admin.post(f"rooms/{room_name}/subtitles/", {})
    assert heard() == (State.WAITING_FOR_WORKER, Transcript.OFF)
    put(admin, path, keep=True)
    assert heard() == (State.WAITING_FOR_WORKER, Transcript.ON)
    admin.delete(f"rooms/{room_name}/subtitles/")
    assert heard()[1] == Transcript.ON


def test_a_session_goes_by_what_was_switched_before_it(admin: Api, path: str, room_name: str) -> None:
    put(admin, path, keep=True)

    started = admin.post(f"rooms/{room_name}/subtitles/", {})

    assert (started.status_code, started.json()["transcript"]) == (201, "on")
    session = Session.objects.get()
    assert session.meeting == Meeting.objects.get()
    assert admin.post(f"rooms/{room_name}/subtitles/", {}).json()["transcript"] == "on"


def test_another_life_of_the_room_is_another_meeting(admin: Api, path: str, room_name: str) -> None:
    earlier = opened_meeting(room=room_name, room_sid="RM_earlier")
    Meeting.objects.update(kept_since=timezone.now())

    assert admin.get(f"rooms/{room_name}/subtitles/").json()["transcript"] == "off"
    assert put(admin, path, keep=False).json()["transcript"] == "off"

    earlier.refresh_from_db()
    assert earlier.is_kept


def test_first_joins_are_noted_of_all_who_are_there_and_of_nobody_before(
    as_participant: Join, admin: Api, people: People, path: str, me: str, room_name: str
) -> None:
    as_participant("ada")
    people.join(room_name, "agent", agent=True, hidden=True)
    admin.get(me)
    assert not Person.objects.exists()
    began = timezone.now()

    put(admin, path, keep=True)
    assert dict(Person.objects.values_list("identity", "first_joined_at")).keys() == {"admin", "ada"}
    assert all(person.first_joined_at < began for person in Person.objects.all())

    as_participant("late").get(f"rooms/{room_name}/subtitles/")
    joined_at = Person.objects.get(identity="late").first_joined_at
    assert joined_at is not None and joined_at > began - datetime.timedelta(seconds=2)

    people.leave(room_name, "late")
    as_participant("late").get(me)
    assert Person.objects.get(identity="late").first_joined_at == joined_at
    assert set(people_now(room_name, timeout_s=5)) == {"admin", "ada", "late"}


# One's own rights


def test_ones_rights_are_what_everybody_has_until_they_say_otherwise(as_participant: Join, me: str) -> None:
    ada = as_participant("ada")

    assert ada.get(me).json() == {"captions": True, "name": "shown", "pseudonym": None, "may_keep": False}
    assert put(ada, me, captions=True, name="shown").json() == ada.get(me).json()
    assert not Meeting.objects.exists()


def test_who_opts_out_is_told_to_the_agent_with_another_revision_and_may_come_back(
    as_participant: Join, me: str
) -> None:
    ada = as_participant("ada")

    assert put(ada, me, captions=False).json() == {
        "captions": False,
        "name": "shown",
        "pseudonym": None,
        "may_keep": False,
    }

    meeting = Meeting.objects.get()
    wishes = wishes_of(meeting)
    assert wishes.people == (Wish(identity="ada", captions=False),)
    assert Person.objects.get().opted_out_at is not None

    put(ada, me, captions=False)
    meeting.refresh_from_db()
    assert meeting.wishes_revision == wishes.revision

    put(ada, me, captions=True)
    meeting.refresh_from_db()
    assert (wishes_of(meeting).people, meeting.wishes_revision) == ((), wishes.revision + 1)
    assert Person.objects.get().opted_out_at is None


def test_a_pseudonym_is_ones_own_and_stays_the_same(as_participant: Join, me: str) -> None:
    ada, bob = as_participant("ada"), as_participant("bob")

    def pseudonyms() -> list[str | None]:
        return [put(person, me, name="hidden").json()["pseudonym"] for person in (ada, bob)]

    assert pseudonyms() == ["Speaker 1", "Speaker 2"]
    assert put(ada, me, name="shown").json() == {
        "captions": True,
        "name": "shown",
        "pseudonym": None,
        "may_keep": False,
    }
    assert pseudonyms() == ["Speaker 1", "Speaker 2"]
    assert wishes_of(Meeting.objects.get()).people == (
        Wish(identity="ada", pseudonym="Speaker 1"),
        Wish(identity="bob", pseudonym="Speaker 2"),
    )


def lines_of(meeting: Meeting, identity: str, count: int) -> None:
    person, _ = Person.objects.get_or_create(meeting=meeting, identity=identity)
    first = meeting.last_change + 1
    Line.objects.bulk_create(
        Line(
            meeting=meeting,
            segment_id=f"00000000-0000-4000-8000-{number:012}",
            change=number,
            revision=2,
            sequence=number,
            start_ms=number * 1_000,
            end_ms=number * 1_000 + 500,
            person=person,
            speaker_identity=identity,
            speaker_name=identity.title(),
            language="en",
            engine="embedded",
            text=f"line {number}",
        )
        for number in range(first, first + count)
    )
    meeting.last_change += count
    meeting.save()


def test_a_hidden_name_stands_on_no_stored_line_any_more_and_screens_follow(
    as_participant: Join, me: str, room_name: str
) -> None:
    ada = as_participant("ada")
    ada.post(f"rooms/{room_name}/subtitles/", {})
    meeting = Meeting.objects.get()
    lines_of(meeting, "ada", 3_000)
    lines_of(meeting, "bob", 1)

    began_s = time.process_time()
    assert put(ada, me, name="hidden").status_code == 200
    assert time.process_time() - began_s < 0.9

    theirs = Line.objects.filter(person__identity="ada").order_by("sequence")
    assert set(theirs.values_list("speaker_identity", "speaker_name", "revision")) == {
        ("speaker-1", "Speaker 1", 3)
    }
    assert list(theirs.values_list("change", flat=True)) == list(range(3_002, 6_002))
    bobs = Line.objects.get(person__identity="bob")
    assert (bobs.speaker_identity, bobs.speaker_name, bobs.change, bobs.revision) == ("bob", "Bob", 3_001, 2)
    assert not LineRevision.objects.exists()
    meeting.refresh_from_db()
    assert (meeting.last_change, meeting.last_posted) == (6_001, 20)
    posted = [Segment(**row.segment) for row in Posted.objects.order_by("number")]
    assert [segment.text for segment in posted] == [f"line {number}" for number in range(2_981, 3_001)]
    assert {(s.speaker_identity, s.speaker_name, s.revision) for s in posted} == {("ada", "Speaker 1", 3)}


def test_where_no_agent_is_nothing_is_left_lying_about_for_one(as_participant: Join, me: str) -> None:
    ada = as_participant("ada")
    put(ada, me, captions=False)
    lines_of(Meeting.objects.get(), "ada", 2)

    put(ada, me, name="hidden")

    assert set(Line.objects.values_list("speaker_identity", flat=True)) == {"speaker-1"}
    assert not Posted.objects.exists()


def test_wishes_are_limited_for_each_and_for_nobody_elses_sake(as_participant: Join, me: str) -> None:
    ada, bob = as_participant("ada"), as_participant("bob")

    answers = [put(ada, me, captions=number % 2 == 1) for number in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert put(bob, me, captions=False).status_code == 200


@pytest.mark.parametrize(("method", "which"), [("PUT", "transcript"), ("PUT", "me"), ("GET", "me")])
def test_only_somebody_who_is_in_the_room_now_may_and_an_absent_room_is_none(
    as_participant: Join, livekit: LiveKitServer, room_name: str, method: str, which: str
) -> None:
    body = {"keep": True} if which == "transcript" else {"captions": False}
    absent = Api(livekit.token(room_name, "mallory", room_admin=True))

    def refusal(person: Api, room: str) -> tuple[int, str]:
        answer = person.call(method, f"rooms/{room}/{which}/", None if method == "GET" else body)
        return answer.status_code, answer.json()["code"]

    assert refusal(absent, room_name) == (404, "room_absent")
    ada = as_participant("ada", room_admin=True)
    assert refusal(absent, room_name) == (403, "not_a_participant")
    assert refusal(ada, f"{room_name}-other") == (403, "room_forbidden")
    assert refusal(Api(None), room_name) == (401, "token_refused")
    assert not Meeting.objects.exists()


def test_what_a_participant_sends_in_the_room_is_never_stored(
    admin: Api, people: People, path: str, room_name: str
) -> None:
    put(admin, path, keep=True)
    admin.post(f"rooms/{room_name}/subtitles/", {})
    mallory = people.join(room_name, "mallory")

    async def forge() -> None:
        said = Segment(
            id="7d444840-9dc0-11d1-b245-5ffdce74fad2",
            track_sid="TR_1",
            sequence=1,
            revision=0,
            is_final=True,
            speaker_identity="mallory",
            speaker_name="Ada",
            language="en",
            start_ms=1,
            end_ms=2,
            engine="embedded",
            text="never said",
        )
        await mallory.local_participant.send_text(
            said.text, topic="lk.transcription", attributes=said.to_attributes()
        )
        await mallory.local_participant.publish_transcription(
            rtc.Transcription(
                participant_identity="mallory",
                track_sid="TR_1",
                segments=[
                    rtc.TranscriptionSegment(
                        id=said.id, text=said.text, start_time=0, end_time=1, language="en", final=True
                    )
                ],
            )
        )

    people.do(forge())
    # Nor is there a way over REST: the workers' door opens to no participant.
    session = leases.active_session(room_name)
    assert session is not None
    answer = Client().post(
        f"/internal/v1/sessions/{session.pk}/segments",
        data='{"generation": 1, "segments": []}',
        content_type="application/json",
        headers=admin._headers,
    )

    assert (answer.status_code, answer.json()["code"]) == (401, "internal_token_refused")
    assert not Line.objects.exists()


def test_a_livekit_that_is_silent_is_503_within_a_second(
    livekit: LiveKitServer, silent_livekit: None, path: str, me: str, room_name: str
) -> None:
    ada = Api(livekit.token(room_name, "ada", room_admin=True))
    for method, target, body in [
        ("PUT", path, {"keep": True}),
        ("PUT", me, {"captions": False}),
        ("GET", me, None),
    ]:
        began_s = time.monotonic()
        answer = ada.call(method, target, body)
        assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
        assert time.monotonic() - began_s < 1
