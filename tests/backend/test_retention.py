"""What is erased, what a receipt says, what stays; and when clocks run out."""

import datetime
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from backend.events.models import Event
from backend.jobs.models import Job
from backend.leases.models import Session
from backend.meetings.erased import erased_until_ms
from backend.meetings.models import Action, AuditEntry, Meeting
from backend.meetings.services import note
from backend.retention import clocks, erasure
from backend.retention.erasure import Erased, erase_event, erase_meeting, erase_speaker
from backend.retention.requests import AT_ONCE_LINES, erase_now_or_soon
from backend.retention.tasks import erase_large, expire_transcripts
from backend.transcripts.models import Line, LineRevision
from tests.backend.kept import kept_meeting, say

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


@pytest.fixture
def forgotten() -> Iterator[list[Meeting]]:
    """Meetings whose exports were forgotten; each had two."""
    meetings: list[Meeting] = []

    def forget(meeting: Meeting) -> int:
        meetings.append(meeting)
        return 2

    erasure.on_erase(forget)
    yield meetings
    erasure.ON_ERASE.remove(forget)


@pytest.fixture
def meeting() -> Meeting:
    """Ada and Bob have talked in it, and it goes on."""
    meeting = kept_meeting()
    say(meeting, "ada", "one", corrected_from="won")
    say(meeting, "ada", "two")
    say(meeting, "bob", "three", corrected_from="tree")
    meeting.posted.create(number=1, segment={"speaker_identity": "ada", "text": "one"})
    meeting.posted.create(number=2, segment={"speaker_identity": "bob", "text": "three"})
    meeting.recordings.create(egress_id="EG_1", started_at_ms=1)
    note(Action.KEEP, actor="participant:ada", meeting=meeting)
    return meeting


def said(meeting: Meeting) -> list[str]:
    return list(Line.objects.filter(meeting=meeting).order_by("sequence").values_list("text", flat=True))


class TestAMeeting:
    def test_nothing_is_left_of_it_but_a_receipt_without_content(
        self, meeting: Meeting, forgotten: list[Meeting]
    ) -> None:
        receipt = erase_meeting(meeting=meeting, actor="ada")

        counts = {"segments": 3, "revisions": 2, "people": 2, "posted": 2, "recordings": 1, "exports": 2}
        assert (asdict(receipt.erased), receipt.by) == (counts, "ada")
        assert said(meeting) == [] and not LineRevision.objects.exists()
        assert not meeting.people.exists() and not meeting.posted.exists() and forgotten == [meeting]
        entry = AuditEntry.objects.get(action=Action.ERASE_MEETING)
        assert (entry.meeting, entry.room, entry.actor, entry.facts) == (meeting.pk, "room", "ada", counts)
        meeting.refresh_from_db()
        assert meeting.erased_at == receipt.at

    def test_one_that_goes_on_is_still_kept_and_wishes_hold(self, meeting: Meeting) -> None:
        meeting.people.filter(identity="bob").update(hides_name=True, number=1)
        meeting.people.create(identity="eve", wants_captions=False, first_joined_at=timezone.now())
        erase_meeting(meeting=meeting, actor="ada")
        say(meeting, "bob", "four")

        meeting.refresh_from_db()
        assert meeting.is_kept and meeting.kept_periods.filter(until=None).exists()
        wishes = meeting.people.order_by("identity").values_list("identity", "wants_captions", "number")
        assert list(wishes) == [("bob", True, 1), ("eve", False, None)]
        assert not meeting.people.exclude(first_joined_at=None).exists()
        assert said(meeting) == ["four"]

    def test_of_one_that_is_over_no_wish_is_left_either(self, meeting: Meeting) -> None:
        meeting.people.update(hides_name=True)
        Meeting.objects.update(ended_at=timezone.now())
        erase_meeting(meeting=meeting, actor="ada")

        assert not meeting.people.exists() and not meeting.kept_periods.exists()

    def test_other_meetings_are_left_alone(self, meeting: Meeting) -> None:
        other = kept_meeting()
        say(other, "ada", "elsewhere")
        erase_meeting(meeting=meeting, actor="ada")

        assert said(other) == ["elsewhere"]

    def test_asking_again_gives_the_same_receipt_until_there_is_more(self, meeting: Meeting) -> None:
        meeting.people.update(hides_name=True)  # they hold, as the meeting goes on
        first = erase_now_or_soon(meeting=meeting, actor="ada")
        meeting.refresh_from_db()

        assert erase_now_or_soon(meeting=meeting, actor="bob") == first
        say(meeting, "ada", "four")
        again = erase_now_or_soon(meeting=meeting, actor="bob")
        assert again is not None and (again.erased.segments, again.by) == (1, "bob")


class TestASpeaker:
    def test_their_words_and_their_name_go_and_the_others_stay(
        self, meeting: Meeting, forgotten: list[Meeting]
    ) -> None:
        Session.objects.create(room="room", room_sid="RM_1", meeting=meeting, started_by="ada")
        receipt = erase_speaker(meeting=meeting, identity="ada", actor="participant:ada")

        counts = {"segments": 2, "revisions": 1, "people": 1, "posted": 1, "recordings": 0, "exports": 2}
        assert asdict(receipt.erased) == counts
        assert said(meeting) == ["three"]
        assert [p.segment["speaker_identity"] for p in meeting.posted.all()] == ["bob"]
        rows = (
            *AuditEntry.objects.values(),
            *LineRevision.objects.values(),
            *meeting.people.values(),
            *Session.objects.values(),
            *meeting.erased_speakers.values(),
        )
        assert not re.search("[':]ada'", " ".join(str(row) for row in rows))
        actors = set(AuditEntry.objects.filter(meeting=meeting.pk).values_list("actor", flat=True))
        assert len(actors) == 1 and actors.pop().startswith("erased-")

    def test_somebody_whose_name_is_hidden_can_be_named_as_the_transcript_does(
        self, meeting: Meeting
    ) -> None:
        meeting.people.filter(identity="bob").update(hides_name=True, number=7)
        receipt = erase_speaker(meeting=meeting, identity="speaker-7", actor="ada")

        assert (receipt.erased.segments, said(meeting)) == (1, ["one", "two"])

    def test_what_is_handed_in_late_is_known_to_be_erased(self, meeting: Meeting) -> None:
        receipt = erase_speaker(meeting=meeting, identity="ada", actor="ada")

        until_ms = int(receipt.at.timestamp() * 1000)
        assert erased_until_ms(meeting, ["ada", "bob"]) == {"ada": until_ms, "bob": 0}

    def test_somebody_unknown_is_as_quickly_erased(self, meeting: Meeting) -> None:
        assert erase_speaker(meeting=meeting, identity="eve", actor="ada").erased == Erased()
        assert len(said(meeting)) == 3


class TestAnEvent:
    @pytest.fixture
    def event(self, meeting: Meeting) -> Event:
        event = Event.objects.create(slug="conf", name="Conf")
        Meeting.objects.filter(pk=meeting.pk).update(event=event)
        say(kept_meeting(event=event), "ada", "in another room")
        return event

    def test_all_its_meetings_are_erased(self, event: Event) -> None:
        outside = kept_meeting()
        say(outside, "ada", "elsewhere")
        receipt = erase_event(event=event, actor="user:ada")

        assert receipt.erased.segments == 4
        assert [line.meeting for line in Line.objects.all()] == [outside]
        assert AuditEntry.objects.filter(action=Action.ERASE_EVENT, event=event).count() == 2

    def test_one_that_is_deleted_takes_its_transcripts_along(
        self, event: Event, admin_client: Client
    ) -> None:
        admin_client.post(f"/admin/events/event/{event.pk}/delete/", {"post": "yes"})

        assert not Event.objects.exists() and not Line.objects.exists()
        assert set(AuditEntry.objects.filter(action=Action.ERASE_EVENT).values_list("actor", flat=True)) == {
            "user:admin"
        }

    def test_the_admin_asks_first_and_then_erases(self, event: Event, admin_client: Client) -> None:
        form = {"action": "erase_transcripts", "_selected_action": [str(event.pk)]}
        asked = admin_client.post("/admin/events/event/", form)
        assert "2 meetings" in asked.content.decode() and Line.objects.exists()
        done = admin_client.post("/admin/events/event/", {**form, "confirmed": "yes"}, follow=True)

        assert "Erased: 4 lines" in done.content.decode() and not Line.objects.exists()

    def test_organisers_erase_meetings_of_their_own_events_alone(self, event: Event) -> None:
        other = Event.objects.create(slug="other", name="Other")
        theirs = kept_meeting(event=other)
        say(theirs, "ada", "elsewhere")
        organiser = organiser_of(event)
        client = Client()
        client.force_login(organiser)
        everything = [str(pk) for pk in Meeting.objects.values_list("pk", flat=True)]
        form = {"action": "erase_transcripts", "_selected_action": everything, "confirmed": "yes"}
        client.post("/admin/meetings/meeting/", form)

        assert [line.meeting for line in Line.objects.all()] == [theirs]


def organiser_of(event: Event) -> User:
    from django.contrib.auth.models import Group, Permission

    user = User.objects.create_user("orga", is_staff=True)
    user.groups.add(Group.objects.get(name="Event organisers"))
    user.user_permissions.add(Permission.objects.get(codename="view_meeting"))
    event.organisers.add(user)
    return user


class TestClocks:
    def test_a_transcript_goes_when_its_days_are_over_the_events_before_the_deployments(
        self, settings: Any
    ) -> None:
        settings.TRANSCRIPT_RETENTION_DAYS = 10
        short = Event.objects.create(slug="s", name="S", transcript_retention_days=3)
        long = Event.objects.create(slug="l", name="L", transcript_retention_days=20)
        for event in (None, short, long):
            for days in (2, 4, 11, 21):
                meeting = kept_meeting(event=event, ended_ago=days * DAY, room=f"{event} {days}")
                say(meeting, "ada", meeting.room)
        expire_transcripts()

        left = ["L 11", "L 2", "L 4", "None 2", "None 4", "S 2"]
        assert sorted(Line.objects.values_list("text", flat=True)) == left
        assert {entry.actor for entry in AuditEntry.objects.filter(action=Action.EXPIRE)} == {"retention"}

    def test_of_a_meeting_whose_end_nobody_noticed_the_last_line_counts(self, settings: Any) -> None:
        settings.TRANSCRIPT_RETENTION_DAYS = 10
        for room, last_line in (("old", 11), ("late", 9)):
            meeting = kept_meeting(room=room)
            line = say(meeting, "ada", room)
            Meeting.objects.filter(pk=meeting.pk).update(began_at=timezone.now() - 12 * DAY)
            Line.objects.filter(pk=line.pk).update(stored_at=timezone.now() - last_line * DAY)
        for _ in range(2):
            clocks.expire(timezone.now())

        assert list(Line.objects.values_list("text", flat=True)) == ["late"]
        assert AuditEntry.objects.filter(action=Action.EXPIRE).count() == 1

    def test_wishes_last_a_day_beyond_a_meeting_of_which_nothing_was_kept(self) -> None:
        for room, hours in (("yesterday", 25), ("today", 23)):
            meeting = Meeting.objects.create(
                room=room, room_sid=room, ended_at=timezone.now() - datetime.timedelta(hours=hours)
            )
            meeting.people.create(identity="ada", wants_captions=False)
        clocks.expire(timezone.now())

        assert [meeting.room for meeting in Meeting.objects.exclude(people=None)] == ["today"]

    def test_who_started_is_forgotten_with_the_transcripts_and_the_audit_log_later(
        self, settings: Any
    ) -> None:
        settings.TRANSCRIPT_RETENTION_DAYS, settings.AUDIT_RETENTION_DAYS = 10, 100
        now = timezone.now()
        for days in (9, 11):
            ended_at = now - days * DAY
            Session.objects.create(room=f"{days}", room_sid="RM", started_by="ada", ended_at=ended_at)
        for days in (99, 101):
            entry = note(Action.KEEP, actor=f"{days}")
            AuditEntry.objects.filter(pk=entry.pk).update(at=now - days * DAY)
        clocks.forget_who_started(now)
        clocks.forget_audit(now)

        assert list(Session.objects.exclude(started_by="").values_list("room", flat=True)) == ["9"]
        assert [entry.actor for entry in AuditEntry.objects.all()] == ["99"]


class TestAccounts:
    @pytest.fixture
    def event(self) -> Event:
        return Event.objects.create(slug="conf", name="Conf")

    def delete(self, user: User | None, meeting_id: object) -> Any:
        client = Client()
        if user:
            client.force_login(user)
        return client.delete(f"/api/v1.0/transcripts/{meeting_id}/")

    def test_an_organiser_erases_their_events_meetings_and_sees_no_others(
        self, event: Event, meeting: Meeting
    ) -> None:
        user = organiser_of(event)
        mine = kept_meeting(event=event)
        say(mine, "ada", "one")

        answer = self.delete(user, mine.pk)
        assert (answer.status_code, answer.json()["erased"]["segments"]) == (200, 1)
        assert answer.json()["by"] == "user:orga"
        assert set(answer.json()) == {"erased", "at", "by"}
        refusals = [self.delete(user, pk) for pk in (meeting.pk, uuid.uuid4(), "nonsense", "0" * 5000)]
        assert [r.status_code for r in refusals] == [404] * 4
        assert {r.content for r in refusals} == {refusals[0].content}
        assert len(said(meeting)) == 3

    def test_who_may_look_may_not_erase_and_who_is_nobody_may_nothing(self, meeting: Meeting) -> None:
        from django.contrib.auth.models import Permission

        reader = User.objects.create_user("reader")
        reader.user_permissions.add(Permission.objects.get(codename="see_every_event"))

        assert self.delete(reader, meeting.pk).json()["code"] == "transcript_forbidden"
        assert self.delete(None, meeting.pk).json()["code"] == "account_refused"
        assert len(said(meeting)) == 3

    def test_much_is_left_to_a_job_whose_receipt_is_fetched_by_asking_again(
        self, admin_user: User, meeting: Meeting
    ) -> None:
        person = meeting.people.get(identity="ada")
        Meeting.objects.filter(pk=meeting.pk).update(ended_at=timezone.now())
        Line.objects.bulk_create(
            [
                Line(
                    meeting=meeting,
                    segment_id=uuid.uuid4(),
                    change=number,
                    revision=0,
                    sequence=number,
                    start_ms=1,
                    end_ms=2,
                    person=person,
                    speaker_identity="ada",
                    language="en",
                    engine="embedded",
                    text="words",
                )
                for number in range(100, 100 + AT_ONCE_LINES)
            ],
            batch_size=1000,
        )
        for _ in range(2):
            answer = self.delete(admin_user, meeting.pk)
            assert (answer.status_code, answer.json()["erased"]) == (202, None)
        job = Job.objects.get(task="erase_large")
        erase_large(**job.arguments)
        erase_large(**job.arguments)

        receipt = self.delete(admin_user, meeting.pk)
        assert receipt.status_code == 200
        assert receipt.json()["erased"]["segments"] == AT_ONCE_LINES + 3
        assert AuditEntry.objects.filter(action=Action.ERASE_MEETING).count() == 1


class TestTheCommand:
    def told(self, *arguments: str) -> list[Any]:
        said = StringIO()
        call_command("erase_transcripts", *arguments, stdout=said)
        return [json.loads(line) for line in said.getvalue().splitlines()]

    @pytest.mark.django_db(transaction=True)
    def test_it_prints_a_receipt_for_each_meeting(self, meeting: Meeting) -> None:
        [speaker] = self.told("--meeting", str(meeting.pk), "--speaker", "bob")
        assert (speaker["meeting"], speaker["erased"]["segments"]) == (str(meeting.pk), 1)
        event = Event.objects.create(slug="conf", name="Conf")
        Meeting.objects.update(event=event)
        [of_event] = self.told("--event", "conf")
        assert (of_event["erased"]["segments"], of_event["by"]) == (2, "command line")
        old = kept_meeting(ended_ago=40 * DAY)
        say(old, "ada", "long ago")
        assert [receipt["meeting"] for receipt in self.told("--older-than", "30")] == [str(old.pk)]

    @pytest.mark.parametrize(
        "arguments", [("--meeting", str(uuid.uuid4())), ("--meeting", "x"), ("--event", "x"), ()]
    )
    def test_it_says_what_is_not_there(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(CommandError):
            self.told(*arguments)
