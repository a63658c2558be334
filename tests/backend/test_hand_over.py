"""A worker that drains, another that takes over: what each is told, and what the keeper does about it."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from backend.keeper.rounds import keep
from backend.leases import services as leases
from backend.leases.models import Session, Worker
from contract.names import agent_identity
from contract.shapes import from_value
from contract.status import Reason, State
from contract.workers import (
    ClaimRequest,
    HeardUntil,
    HeartbeatAnswer,
    JobCommand,
    JobReport,
    Order,
    WorkerHeartbeat,
)
from tests.backend.conftest import Api, People, WorkerApi

pytestmark = pytest.mark.django_db(transaction=True)
HEARD = (HeardUntil(track_sid="TR_1", until_ms=1_700_000_000_000),)


@pytest.fixture
def session(db: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    return made


@pytest.fixture
def old(worker_api: WorkerApi, session: Session) -> WorkerApi:
    """The worker that has the lease, and is live."""
    claim(worker_api, session, 1)
    beat(worker_api, report(session, 1))
    return worker_api


@pytest.fixture
def new(settings: Any, db: None) -> WorkerApi:
    """Another worker, with room."""
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2")
    beat(other)
    return other


def claim(worker: WorkerApi, session: Session, generation: int) -> Any:
    return worker.post(f"/internal/v1/sessions/{session.pk}/claim", ClaimRequest(generation=generation))


def report(session: Session, generation: int, **changes: Any) -> JobReport:
    return JobReport(**{"session": str(session.pk), "generation": generation, "state": State.LIVE, **changes})


def beat(worker: WorkerApi, *jobs: JobReport, draining: bool = False) -> list[JobCommand]:
    heartbeat = WorkerHeartbeat(capacity=8, draining=draining, engines=("embedded",), jobs=jobs)
    answer = worker.post(f"/internal/v1/workers/{worker.name}/heartbeat", heartbeat)
    assert answer.status_code == 200
    return list(from_value(HeartbeatAnswer, answer.json()).jobs)


def orders(commands: list[JobCommand]) -> list[Order]:
    return [command.order for command in commands]


def standing_by(session: Session, new: WorkerApi, *, state: State = State.LIVE) -> Session:
    """As after the keeper's round and the claim of the other worker."""
    session.refresh_from_db()
    opened = leases.open_standby(session)
    assert opened is not None
    assert claim(new, session, opened.standby_generation).status_code == 200
    assert orders(beat(new, report(session, opened.standby_generation, state=state))) == [Order.WAIT]
    session.refresh_from_db()
    return session


def test_where_nobody_can_take_over_a_draining_worker_finishes(session: Session, old: WorkerApi) -> None:
    assert orders(beat(old, report(session, 1), draining=True)) == [Order.FINISH]


def test_the_old_one_speaks_until_the_new_one_hears_everybody(
    session: Session, old: WorkerApi, new: WorkerApi
) -> None:
    assert orders(beat(old, report(session, 1), draining=True)) == [Order.SPEAK]
    standing_by(session, new, state=State.JOINING)
    assert orders(beat(old, report(session, 1), draining=True)) == [Order.SPEAK]

    beat(new, report(session, 2))

    assert orders(beat(old, report(session, 1), draining=True)) == [Order.FINISH]


def test_the_new_one_waits_is_told_from_where_and_speaks_once_the_old_one_has_gone(
    session: Session, old: WorkerApi, new: WorkerApi
) -> None:
    standing_by(session, new)
    [before] = beat(new, report(session, 2))
    beat(old, report(session, 1, heard_until=HEARD, last_sequence=7), draining=True)
    [during] = beat(new, report(session, 2))
    beat(old, report(session, 1, lost=True), draining=True)
    [after] = beat(new, report(session, 2))

    assert (before.order, before.heard_until) == (Order.WAIT, None)
    assert (during.order, during.heard_until) == (Order.WAIT, HEARD)
    assert (after.order, after.heard_until) == (Order.SPEAK, HEARD)
    session.refresh_from_db()
    assert (session.generation, session.worker, session.state) == (2, "worker-2", "live")
    assert (session.last_sequence, session.standby_generation) == (1001, 0)


def test_sequences_go_on_from_the_old_ones(session: Session, old: WorkerApi, new: WorkerApi) -> None:
    beat(old, report(session, 1, last_sequence=41))
    session.refresh_from_db()
    leases.open_standby(session)

    assert claim(new, session, 2).json()["first_sequence"] == 1041


def test_the_new_ones_identity_is_its_own(session: Session, old: WorkerApi, new: WorkerApi) -> None:
    session.refresh_from_db()
    leases.open_standby(session)

    given = claim(new, session, 2).json()
    assert given["agent_identity"] == agent_identity(agent=session.agent.hex, generation=2)
    assert given["generation"] == 2


def test_only_one_worker_stands_by(session: Session, old: WorkerApi, new: WorkerApi, settings: Any) -> None:
    standing_by(session, new)
    third = WorkerApi(settings.INTERNAL_API_SECRET, name="worker-3")

    assert claim(third, session, 2).status_code == 409


def test_a_new_one_that_is_lost_before_its_turn_costs_the_old_one_nothing(
    session: Session, old: WorkerApi, new: WorkerApi
) -> None:
    standing_by(session, new)

    assert orders(beat(new, report(session, 2, lost=True))) == [Order.LEAVE]

    assert orders(beat(old, report(session, 1), draining=True)) == [Order.SPEAK]
    session.refresh_from_db()
    assert (session.generation, session.worker) == (1, "worker-1")
    again = leases.open_standby(session)
    assert again is not None and again.standby_generation == 3  # a restart never meets its ghost


def test_an_old_one_that_is_lost_before_the_new_one_was_claimed_goes_on_further_up(
    session: Session, old: WorkerApi, new: WorkerApi
) -> None:
    session.refresh_from_db()
    leases.open_standby(session)

    beat(old, report(session, 1, lost=True), draining=True)

    session.refresh_from_db()
    assert (session.generation, session.standby_generation, session.worker) == (3, 0, "")
    assert claim(new, session, 2).status_code == 409


def test_a_stop_sends_both_away(session: Session, old: WorkerApi, new: WorkerApi) -> None:
    standing_by(session, new)

    leases.begin_stop(session)

    assert orders(beat(old, report(session, 1), draining=True)) == [Order.LEAVE]
    assert orders(beat(new, report(session, 2))) == [Order.LEAVE]


def test_what_an_earlier_hand_over_left_is_no_word_for_the_next(
    session: Session, old: WorkerApi, new: WorkerApi
) -> None:
    standing_by(session, new)
    beat(old, report(session, 1, heard_until=HEARD), draining=True)
    beat(old, report(session, 1, lost=True), draining=True)
    session.refresh_from_db()

    opened = leases.open_standby(session)

    assert opened is not None and opened.heard_until is None


class TestTheKeeper:
    @pytest.fixture
    def running(self, as_participant: Callable[..., Api], idle_worker: Worker, room_name: str) -> Session:
        """Live on worker-1, which drains; worker-2 has room."""
        as_participant().post(f"rooms/{room_name}/subtitles/", {})
        made = Session.objects.get(room=room_name)
        leases.claim(session_id=made.pk, generation=1, worker="worker-1")
        Worker.objects.update(is_draining=True)
        Worker.objects.create(name="worker-2", heartbeat_at=timezone.now(), capacity=8)
        made.refresh_from_db()
        return made

    def test_asks_another_worker_once(self, running: Session) -> None:
        keep(workers_judged=True)
        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.generation, running.standby_generation, running.state) == (1, 2, "joining")

    def test_asks_again_when_nobody_has_claimed_it_in_time(self, running: Session) -> None:
        keep(workers_judged=True)
        Session.objects.update(standby_dispatched_at=timezone.now() - datetime.timedelta(seconds=3))

        keep(workers_judged=True)

        running.refresh_from_db()
        assert running.standby_generation == 3

    def test_puts_the_new_one_in_the_place_of_an_old_one_that_has_died(self, running: Session) -> None:
        keep(workers_judged=True)
        leases.claim(session_id=running.pk, generation=2, worker="worker-2")
        Session.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(seconds=4))

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.generation, running.worker, running.standby_generation) == (2, "worker-2", 0)

    def test_removes_what_the_old_one_left_and_leaves_the_new_one_alone(
        self, running: Session, people: People
    ) -> None:
        ghost = people.join(running.room, running.identity_of(1), agent=True, hidden=True)
        successor = people.join(running.room, running.identity_of(2), agent=True, hidden=True)
        keep(workers_judged=True)
        leases.claim(session_id=running.pk, generation=2, worker="worker-2")
        running.refresh_from_db()
        assert leases.promote_standby(running)

        keep(workers_judged=True)

        running.refresh_from_db()
        assert not running.has_ghosts
        assert not ghost.isconnected()
        assert successor.isconnected()

    def test_an_agent_that_has_left_the_room_and_fallen_silent_is_not_waited_for(
        self, running: Session
    ) -> None:
        Worker.objects.update(is_draining=False)
        two_seconds_ago = timezone.now() - datetime.timedelta(seconds=2)
        Session.objects.update(state=State.LIVE, heartbeat_at=two_seconds_ago)

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.generation, running.state) == (2, "requested")

    def test_a_worker_that_has_died_is_not_counted_on_for_the_next_dispatch(self, running: Session) -> None:
        two_seconds_ago = timezone.now() - datetime.timedelta(seconds=2)
        Session.objects.update(state=State.LIVE, heartbeat_at=two_seconds_ago)
        Worker.objects.exclude(name="worker-1").delete()
        Worker.objects.update(is_draining=False, heartbeat_at=two_seconds_ago)

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.generation, running.state, running.reason) == (2, "waiting_for_worker", "no_worker")

    def test_an_agent_that_is_there_is_waited_for(self, running: Session, people: People) -> None:
        people.join(running.room, running.agent_identity, agent=True, hidden=True)
        Worker.objects.update(is_draining=False)
        two_seconds_ago = timezone.now() - datetime.timedelta(seconds=2)
        Session.objects.update(state=State.LIVE, heartbeat_at=two_seconds_ago)

        keep(workers_judged=True)

        running.refresh_from_db()
        assert (running.generation, running.reason) == (1, None)

    def test_while_the_backend_was_away_nobody_is_given_up(self, running: Session) -> None:
        long_ago = timezone.now() - datetime.timedelta(seconds=60)
        Session.objects.update(state=State.LIVE, heartbeat_at=long_ago)
        Worker.objects.update(is_draining=False)

        keep(workers_judged=False)

        running.refresh_from_db()
        assert (running.generation, running.worker) == (1, "worker-1")
        assert running.reason != Reason.WORKER_LOST
