"""The keeper's rounds against a real LiveKit, and its judgement without one."""

import datetime
from collections.abc import Callable

import pytest
from django.utils import timezone

from backend.keeper.rounds import Verdict, judge, keep
from backend.keeper.turns import is_my_turn
from backend.leases import services as leases
from backend.leases.models import KeeperTurn, Session, Worker
from contract.status import Reason, State
from tests.backend.conftest import Api, People, until_disconnected
from tests.support.livekit import LiveKitServer

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def session(**changes: object) -> Session:
    return Session(**{"room": "r", "room_sid": "RM_1", "dispatched_at": ago(1), **changes})


@pytest.mark.parametrize(
    ("case", "room_sid", "workers_judged", "verdict"),
    [
        (session(), "RM_1", True, Verdict()),
        (session(), None, True, Verdict(ends=True)),
        (session(), "RM_2", True, Verdict(ends=True)),
        (session(state=State.STOPPING), "RM_1", False, Verdict(finish_stop=True)),
        (session(worker="w", heartbeat_at=ago(2)), "RM_1", True, Verdict()),
        (session(worker="w", heartbeat_at=ago(4)), "RM_1", True, Verdict(replace=Reason.WORKER_LOST)),
        (session(worker="w", heartbeat_at=ago(4)), "RM_1", False, Verdict()),
        (session(dispatched_at=ago(3)), "RM_1", True, Verdict(replace=Reason.NO_WORKER)),
        (session(dispatched_at=ago(3)), "RM_1", False, Verdict()),
        (session(dispatched_at=None), "RM_1", True, Verdict(place=True)),
        (session(state=State.WAITING_FOR_WORKER), "RM_1", True, Verdict(place=True)),
    ],
)
def test_judgement(case: Session, room_sid: str | None, workers_judged: bool, verdict: Verdict) -> None:
    assert judge(case, room_sid=room_sid, workers_judged=workers_judged, now=NOW) == verdict


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

    def test_a_session_ends_with_its_room(
        self, running: Session, people: People, livekit: LiveKitServer
    ) -> None:
        Session.objects.update(room_sid="RM_of_an_earlier_life")

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.state, running.reason, running.is_active) == ("idle", "room_empty", False)

    def test_a_stop_that_could_not_be_finished_is_finished(self, running: Session) -> None:
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


@pytest.mark.django_db
class TestTurns:
    def test_one_keeper_acts_and_another_takes_over_when_it_is_gone(self) -> None:
        assert is_my_turn("first")
        assert not is_my_turn("second")
        assert is_my_turn("first")

        KeeperTurn.objects.update(until=timezone.now() - datetime.timedelta(seconds=1))

        assert is_my_turn("second")
        assert not is_my_turn("first")
