"""The lease under callers that come at once, on whichever database the suite runs on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection

from backend.errors import ClaimStale
from backend.keeper.turns import is_my_turn
from backend.leases import services as leases
from backend.leases.models import Session

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
AT_ONCE = 12


def all_at_once(work: Callable[[int], T]) -> list[T]:
    gate = threading.Barrier(AT_ONCE)

    def one(number: int) -> T:
        gate.wait()
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


def open_session(number: int = 0) -> tuple[Session, bool]:
    return leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by=f"person-{number}"
    )


def test_many_starts_make_one_session_and_all_get_it() -> None:
    opened = all_at_once(open_session)

    assert sum(is_new for _, is_new in opened) == 1
    assert len({session.pk for session, _ in opened}) == 1
    assert Session.objects.count() == 1


def test_many_claims_give_the_lease_to_one_worker() -> None:
    session, _ = open_session()

    def claim(number: int) -> str | None:
        try:
            leased, _ = leases.claim(session_id=session.pk, generation=1, worker=f"worker-{number}")
        except ClaimStale:
            return None
        return leased.worker

    winners = [worker for worker in all_at_once(claim) if worker is not None]

    session.refresh_from_db()
    assert winners == [session.worker]


def test_many_keepers_have_one_whose_turn_it_is() -> None:
    assert sum(all_at_once(lambda number: is_my_turn(f"keeper-{number}"))) == 1
