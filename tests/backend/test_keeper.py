"""The keeper's rounds against a real LiveKit, and its judgement without one."""

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from backend.dispatch.rooms import RoomNow
from backend.keeper.meetings import look_after_meetings
from backend.keeper.rounds import NOTHING, Action, Limits, Verdict, Workers, judge, keep
from backend.keeper.turns import is_my_turn
from backend.leases import services as leases
from backend.leases.models import KeeperTurn, Session, Worker
from backend.meetings import keeping, posting
from backend.meetings.models import AuditEntry, KeptPeriod, Meeting, Person, Posted, Recording
from backend.meetings.services import locked, opened_meeting
from backend.meetings.wishes import change_wish
from backend.transcripts.models import Line
from contract.segments import Segment
from contract.status import Reason, State
from contract.workers import JobReport, WorkerHeartbeat
from tests.backend.conftest import Api, People, WorkerApi, until_disconnected
from tests.backend.test_event_chains import made_event
from tests.support.livekit import LiveKitServer
from tests.support.ports import free_port

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


ROOM = RoomNow(sid="RM_1", people=2)
EMPTY = RoomNow(sid="RM_1", people=0)
LIMITS = Limits(idle=datetime.timedelta(minutes=60), most=datetime.timedelta(hours=12))


def session(**changes: object) -> Session:
    return Session(**{"room": "r", "room_sid": "RM_1", "since": ago(60), "dispatched_at": ago(1), **changes})


def verdict(action: Action, reason: Reason | None = None) -> Verdict:
    return Verdict(action=action, reason=reason)


LOST, SWALLOWED = verdict(Action.REPLACE, Reason.WORKER_LOST), verdict(Action.REPLACE, Reason.NO_WORKER)
WAITING = {"state": State.WAITING_FOR_WORKER, "worker": ""}
AWAITED = {**WAITING, "reason": Reason.ROOM_EMPTY, "room_sid": ""}


@pytest.mark.parametrize(
    ("case", "room", "workers_judged", "expected"),
    [
        (session(), ROOM, True, NOTHING),
        (session(), None, True, NOTHING),
        (session(empty_since=ago(2)), None, True, verdict(Action.END, Reason.ROOM_EMPTY)),
        (session(), RoomNow(sid="RM_2", people=1), True, verdict(Action.END, Reason.ROOM_EMPTY)),
        (session(**AWAITED, empty_since=ago(200)), None, True, NOTHING),
        (session(**AWAITED, empty_since=ago(301)), None, True, verdict(Action.END, Reason.ROOM_EMPTY)),
        (session(**AWAITED, empty_since=ago(9)), EMPTY, True, NOTHING),
        (session(**AWAITED, empty_since=ago(9)), ROOM, True, verdict(Action.ADOPT)),
        (session(state=State.STOPPING), ROOM, False, verdict(Action.FINISH_STOP)),
        (session(worker="w", heartbeat_at=ago(2)), ROOM, True, NOTHING),
        (session(worker="w", heartbeat_at=ago(4)), ROOM, True, LOST),
        (session(worker="w", heartbeat_at=ago(4)), ROOM, False, NOTHING),
        (session(dispatched_at=ago(3)), ROOM, True, SWALLOWED),
        (session(dispatched_at=ago(3)), ROOM, False, NOTHING),
        (session(dispatched_at=None), ROOM, True, verdict(Action.PLACE)),
        (session(**WAITING, reason=Reason.NO_WORKER), ROOM, True, verdict(Action.PLACE)),
        (session(**WAITING, reason=Reason.ROOM_EMPTY), ROOM, True, verdict(Action.PLACE)),
        (session(**WAITING, reason=Reason.ROOM_EMPTY, empty_since=ago(9)), EMPTY, True, NOTHING),
        (session(worker="w", heartbeat_at=ago(1)), EMPTY, True, NOTHING),
        (session(worker="w", heartbeat_at=ago(1), empty_since=ago(0.5)), EMPTY, True, NOTHING),
        (
            session(worker="w", heartbeat_at=ago(1), empty_since=ago(2)),
            EMPTY,
            True,
            verdict(Action.WAIT_FOR_PEOPLE),
        ),
        (
            session(**WAITING, reason=Reason.NO_WORKER, empty_since=ago(2)),
            EMPTY,
            True,
            verdict(Action.WAIT_FOR_PEOPLE),
        ),
        (session(since=ago(3700)), ROOM, True, verdict(Action.STOP, Reason.IDLE)),
        (session(since=ago(9000), spoken_at=ago(3700)), ROOM, True, verdict(Action.STOP, Reason.IDLE)),
        (session(since=ago(9000), spoken_at=ago(60)), ROOM, True, NOTHING),
        (session(since=ago(12.1 * 3600), spoken_at=ago(1)), ROOM, True, verdict(Action.STOP, Reason.POLICY)),
    ],
)
def test_judgement(case: Session, room: RoomNow | None, workers_judged: bool, expected: Verdict) -> None:
    assert judge(case, room=room, limits=LIMITS, workers=Workers(judged=workers_judged), now=NOW) == expected


@pytest.mark.django_db(transaction=True)
class TestRounds:
    @pytest.fixture
    def running(self, as_participant: Callable[..., Api], idle_worker: Worker, room_name: str) -> Session:
        as_participant().post(f"rooms/{room_name}/subtitles/", {})
        made = Session.objects.get(room=room_name)
        leases.claim(session_id=made.pk, generation=1, worker="worker-1")
        made.refresh_from_db()
        return made

    def test_a_session_whose_worker_is_gone_waits_for_another_and_its_ghost_is_removed(
        self, running: Session, people: People
    ) -> None:
        ghost = people.join(running.room, running.agent_identity, agent=True, hidden=True)
        Session.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(seconds=4))
        Worker.objects.all().delete()

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason) == ("waiting_for_worker", "no_worker")
        assert (running.generation, running.worker) == (2, "")
        people.do(until_disconnected(ghost))

    def test_a_session_whose_worker_is_gone_is_dispatched_to_another(self, running: Session) -> None:
        Session.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(seconds=4))

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason, running.generation) == ("requested", None, 2)

    def test_a_heartbeat_that_came_meanwhile_keeps_the_lease(self, running: Session) -> None:
        as_the_keeper_read_it = Session.objects.get(pk=running.pk)
        Session.objects.update(heartbeat_at=timezone.now())

        assert leases.take_back(as_the_keeper_read_it, reason=Reason.WORKER_LOST) is None
        running.refresh_from_db()
        assert (running.generation, running.worker) == (1, "worker-1")

    def test_a_claim_that_came_meanwhile_keeps_the_lease(
        self, as_participant: Callable[..., Api], idle_worker: Worker, room_name: str
    ) -> None:
        as_participant().post(f"rooms/{room_name}/subtitles/", {})
        as_the_keeper_read_it = Session.objects.get(room=room_name)
        leases.claim(session_id=as_the_keeper_read_it.pk, generation=1, worker="worker-1")

        assert leases.take_back(as_the_keeper_read_it, reason=Reason.NO_WORKER) is None

    def test_a_generation_is_dispatched_once_whoever_places_it(
        self, as_participant: Callable[..., Api], room_name: str
    ) -> None:
        as_participant().post(f"rooms/{room_name}/subtitles/", {})
        one, other = Session.objects.get(room=room_name), Session.objects.get(room=room_name)

        assert leases.note_requested(one)
        assert not leases.note_requested(other)

    def test_the_ghost_of_a_lost_job_is_removed_before_the_next_is_sent(
        self, running: Session, people: People
    ) -> None:
        ghost = people.join(running.room, running.agent_identity, agent=True, hidden=True)
        leases.next_generation(running, reason=Reason.WORKER_LOST)

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.generation) == ("requested", 2)
        people.do(until_disconnected(ghost))

    def test_a_session_ends_with_its_room(
        self, running: Session, people: People, livekit: LiveKitServer
    ) -> None:
        Session.objects.update(room_sid="RM_of_an_earlier_life")

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason, running.is_active) == ("idle", "room_empty", False)

    def test_a_stop_that_could_not_be_finished_is_finished(self, running: Session) -> None:
        Session.objects.update(state=State.LIVE)
        leases.begin_stop(running)

        keep(workers_judged=False)

        running.refresh_from_db()
        assert (running.state, running.is_active) == ("idle", False)

    def test_a_waiting_session_is_dispatched_when_a_worker_comes(
        self, as_participant: Callable[..., Api], room_name: str
    ) -> None:
        as_participant().post(f"rooms/{room_name}/subtitles/", {})
        waiting = Session.objects.get(room=room_name)
        keep(workers_judged=True)
        waiting.refresh_from_db()
        assert waiting.state == "waiting_for_worker"

        Worker.objects.create(name="worker-1", heartbeat_at=timezone.now(), capacity=8)
        keep(workers_judged=True)

        waiting.refresh_from_db()
        assert (waiting.state, waiting.reason) == ("requested", None)

    def test_the_agent_of_an_empty_room_leaves_and_another_comes_when_somebody_returns(
        self, running: Session, people: People
    ) -> None:
        agent = people.join(running.room, running.agent_identity, agent=True, hidden=True)
        people.leave(running.room, "ada")
        keep(workers_judged=True)
        Session.objects.filter(empty_since__isnull=False).update(
            empty_since=timezone.now() - datetime.timedelta(seconds=2)
        )

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason, running.worker) == ("waiting_for_worker", "room_empty", "")
        people.do(until_disconnected(agent))

        people.join(running.room, "bob")
        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason, running.generation) == ("requested", None, 2)

    def test_a_room_that_livekit_forgot_while_it_was_away_gets_its_agent_when_people_are_back(
        self, running: Session, settings: Any, livekit: LiveKitServer, people: People
    ) -> None:
        is_my_turn("keeper")
        Session.objects.update(room_sid="RM_of_the_life_before")
        settings.LIVEKIT_URL = f"ws://127.0.0.1:{free_port()}"
        keep(workers_judged=True)
        settings.LIVEKIT_URL = livekit.url

        for _ in range(4):
            keep(workers_judged=True)

        running.refresh_from_db()
        assert running.is_active and running.room_sid.startswith("RM_") and running.generation > 1
        assert (running.state, running.reason) == ("requested", None)

    def test_a_room_that_was_made_anew_while_livekit_was_there_wants_a_new_start(
        self, running: Session
    ) -> None:
        is_my_turn("keeper")
        keep(workers_judged=True)
        Session.objects.update(room_sid="RM_of_the_life_before")

        keep(workers_judged=True)

        running.refresh_from_db()
        assert not running.is_active

    def test_a_stop_waits_for_an_agent_that_is_still_joining(
        self, running: Session, settings: Any, worker_api: WorkerApi
    ) -> None:
        leases.begin_stop(running)
        keep(workers_judged=True)
        running.refresh_from_db()
        assert running.state == "stopping"

        report = JobReport(session=str(running.pk), generation=1, state=State.JOINING, lost=True)
        beat = WorkerHeartbeat(capacity=8, draining=False, engines=(), jobs=(report,))
        worker_api.post("/internal/v1/workers/worker-1/heartbeat", beat)
        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.is_active) == ("idle", False)

    def test_a_stop_does_not_wait_for_a_worker_that_has_died(self, running: Session) -> None:
        leases.begin_stop(running)
        Session.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(seconds=4))

        keep(workers_judged=True)

        running.refresh_from_db()
        assert not running.is_active

    def test_a_session_in_which_nobody_speaks_ends_and_says_why(
        self, running: Session, as_participant: Callable[..., Api]
    ) -> None:
        Session.objects.update(state=State.LIVE, since=timezone.now() - datetime.timedelta(hours=2))

        keep(workers_judged=True)

        state = as_participant("bob").get(f"rooms/{running.room}/subtitles/").json()
        assert (state["state"], state["reason"]) == ("idle", "idle")

    def test_a_meeting_goes_on_in_the_room_that_livekit_made_anew_with_all_that_was_wanted_since(
        self, running: Session, people: People
    ) -> None:
        """Somebody may be there before the keeper has looked."""
        meeting, new_sid = running.meeting, running.room_sid
        assert meeting is not None
        leases.await_room(running)
        Meeting.objects.update(room_sid="RM_of_the_life_before")
        early = opened_meeting(room=running.room, room_sid=new_sid)
        with locked(meeting) as locked_meeting:
            change_wish(locked_meeting, "ada", hides_name=True)
            change_wish(locked_meeting, "bob", captions=False)
            posting.post(locked_meeting, segment("before"))
        with locked(early) as locked_meeting:
            change_wish(locked_meeting, "bob", hides_name=True)
            change_wish(locked_meeting, "ada", captions=False)
            posting.post(locked_meeting, segment("since"))
        keeping.begin_keeping(early)
        Recording.objects.create(meeting=early, egress_id="EG_1", started_at_ms=1)
        said_by = Person.objects.get(meeting=early, identity="bob")
        line = Line.objects.create(
            meeting=early,
            person=said_by,
            segment_id=uuid.uuid4(),
            speaker_identity="speaker-1",
            speaker_name="Speaker 1",
            **{"change": 1, "revision": 0, "sequence": 1, "start_ms": 1, "end_ms": 2, "text": "x"},
        )
        Line.objects.create(
            meeting=meeting,
            person=Person.objects.get(meeting=meeting, identity="ada"),
            segment_id=uuid.uuid4(),
            **{"change": 1, "revision": 0, "sequence": 1, "start_ms": 1, "end_ms": 2, "text": "y"},
        )
        Meeting.objects.update(last_change=1)

        keep(workers_judged=True)

        assert Meeting.objects.get() == meeting
        meeting.refresh_from_db()
        assert (meeting.room_sid, meeting.is_kept, meeting.ended_at) == (new_sid, True, None)
        wishes = {p.identity: (p.wants_captions, p.pseudonym) for p in Person.objects.all()}
        assert wishes == {"ada": (False, "Speaker 1"), "bob": (False, "Speaker 2")}
        line.refresh_from_db()
        assert (line.meeting, line.person.identity, line.change) == (meeting, "bob", 2)
        assert (line.speaker_identity, line.speaker_name) == ("speaker-2", "Speaker 2")
        posted = Posted.objects.order_by("number").values_list("number", "segment__text")
        assert list(posted) == [(1, "before"), (2, "since")]
        assert (meeting.last_change, meeting.last_posted, Recording.objects.get().meeting) == (2, 2, meeting)
        assert meeting.wishes_revision > max(early.wishes_revision, 3)


def segment(text: str) -> Segment:
    of_all = {"track_sid": "", "language": "en", "engine": "human", "speaker_name": "Ada"}
    numbers = {"sequence": 1, "revision": 0, "start_ms": 1, "end_ms": 2}
    return Segment(
        id=str(uuid.uuid4()), is_final=True, speaker_identity="ada", text=text, **of_all, **numbers
    )


@pytest.mark.django_db(transaction=True)
class TestMeetings:
    @pytest.fixture
    def kept(self, as_participant: Callable[..., Api], room_name: str) -> Meeting:
        """In a room that is there, without subtitles."""
        admin = as_participant("admin", room_admin=True)
        assert admin.call("PUT", f"rooms/{room_name}/transcript/", {"keep": True}).status_code == 200
        return Meeting.objects.get()

    def lost(self, meeting: Meeting, *, for_s: float | None = None) -> None:
        Meeting.objects.filter(pk=meeting.pk).update(room_sid="RM_of_an_earlier_life")
        if for_s is not None:
            Meeting.objects.update(absent_since=timezone.now() - datetime.timedelta(seconds=for_s))

    def test_one_whose_room_is_there_goes_on(self, kept: Meeting) -> None:
        Meeting.objects.update(absent_since=timezone.now() - datetime.timedelta(minutes=1))

        look_after_meetings()

        kept.refresh_from_db()
        assert (kept.is_kept, kept.ended_at, kept.absent_since) == (True, None, None)

    def test_one_whose_room_is_not_found_ends_at_a_later_look(self, kept: Meeting) -> None:
        self.lost(kept)
        for _ in range(2):
            look_after_meetings()
        kept.refresh_from_db()
        assert kept.is_kept and kept.ended_at is None and kept.absent_since is not None

        self.lost(kept, for_s=6)
        look_after_meetings()

        kept.refresh_from_db()
        assert not kept.is_kept and kept.ended_at is not None
        assert KeptPeriod.objects.get().until is not None
        assert AuditEntry.objects.values_list("action", "actor").first() == ("stop_keeping", "room")

    def test_nothing_ends_while_subtitles_run_or_livekit_is_away(self, kept: Meeting, settings: Any) -> None:
        session, _ = leases.open_session(
            room=kept.room, room_sid=kept.room_sid, language="en", engine="embedded", started_by="ada"
        )
        self.lost(kept, for_s=60)
        look_after_meetings()
        kept.refresh_from_db()
        assert kept.ended_at is None

        leases.end_session(session)
        settings.LIVEKIT_URL = f"ws://127.0.0.1:{free_port()}"
        look_after_meetings()
        kept.refresh_from_db()
        assert kept.ended_at is None

    def test_who_is_seen_in_a_room_that_was_given_up_has_their_meeting_back(
        self, kept: Meeting, as_participant: Callable[..., Api]
    ) -> None:
        keeping.end(kept)

        ada = as_participant("ada", room_admin=True)
        assert ada.call("PUT", f"rooms/{kept.room}/transcript/", {"keep": True}).json()["transcript"] == "on"

        assert Meeting.objects.get().ended_at is None

    @pytest.mark.parametrize("who_says", ["the deployment", "the event", "nobody"])
    def test_what_must_not_be_kept_any_more_is_stopped(
        self, kept: Meeting, settings: Any, who_says: str
    ) -> None:
        if who_says == "the deployment":
            settings.TRANSCRIPTS_POLICY = "off"
        made_event("another", slug="other", name="Other", transcript_policy="off")
        made_event(kept.room, transcript_policy="off" if who_says == "the event" else "")

        look_after_meetings()

        kept.refresh_from_db()
        assert kept.is_kept == (who_says == "nobody")
        actors = [e.actor for e in AuditEntry.objects.filter(action="stop_keeping")]
        assert actors == ([] if who_says == "nobody" else ["policy"])

    def test_what_no_agent_published_in_time_is_deleted(self, kept: Meeting) -> None:
        with locked(kept) as meeting:
            posting.post(meeting, segment("late"))
        Posted.objects.update(at=timezone.now() - datetime.timedelta(seconds=61))

        look_after_meetings()

        assert not Posted.objects.exists()


@pytest.mark.django_db
class TestTurns:
    def test_one_keeper_acts_and_another_takes_over_when_it_is_gone(self) -> None:
        assert is_my_turn("first")
        assert not is_my_turn("second")
        assert is_my_turn("first")

        KeeperTurn.objects.update(until=timezone.now() - datetime.timedelta(seconds=1))

        assert is_my_turn("second")
        assert not is_my_turn("first")
