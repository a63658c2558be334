"""`/api/v1.0/rooms/{room}/subtitles/` against a real LiveKit."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from livekit import api, rtc

from backend.leases import services as leases
from backend.leases.models import Session, Worker
from contract.names import PATH_CLAIM, PATH_HEARTBEAT
from contract.status import Reason, State
from contract.workers import ClaimRequest, JobReport, WorkerHeartbeat
from tests.backend.conftest import Api, People, WorkerApi, until_disconnected
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]

ENGLISH = {"language": "en"}
METHODS = ["GET", "POST", "PATCH", "DELETE"]


def dispatches(livekit: LiveKitServer, people: People, room: str) -> list[api.AgentDispatch]:
    async def listed() -> list[api.AgentDispatch]:
        async with livekit.api() as lkapi:
            # LiveKit itself adds one of no name to every room.
            return [d for d in await lkapi.agent_dispatch.list_dispatch(room) if d.agent_name]

    return people.do(listed())


def rooms(livekit: LiveKitServer, people: People) -> set[str]:
    async def listed() -> set[str]:
        async with livekit.api() as lkapi:
            return {room.name for room in (await lkapi.room.list_rooms(api.ListRoomsRequest())).rooms}

    return people.do(listed())


def test_a_start_without_a_worker_says_so_and_dispatches_nothing(
    as_participant: Join, livekit: LiveKitServer, people: People, room_name: str
) -> None:
    answer = as_participant().post(f"rooms/{room_name}/subtitles/", {"language": "en"})

    assert answer.status_code == 201
    state = answer.json()
    assert (state["state"], state["reason"], state["generation"]) == ("waiting_for_worker", "no_worker", 1)
    assert (state["room"], state["language"], state["engine"], state["started_by"]) == (
        room_name,
        "en",
        "embedded",
        "ada",
    )
    assert dispatches(livekit, people, room_name) == []


def test_two_starts_make_one_session_and_one_dispatch(
    as_participant: Join, idle_worker: Worker, livekit: LiveKitServer, people: People, room_name: str
) -> None:
    ada, bob = as_participant("ada"), as_participant("bob")

    first, second = (
        ada.post(f"rooms/{room_name}/subtitles/", {}),
        bob.post(f"rooms/{room_name}/subtitles/", {}),
    )

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["state"] == "requested"
    assert second.json()["started_by"] == "ada"
    [dispatch] = dispatches(livekit, people, room_name)
    session = Session.objects.get(room=room_name)
    assert dispatch.metadata == f'{{"session":"{session.pk}","generation":1}}'
    assert session.agent.hex not in dispatch.metadata


def test_where_livekit_serves_only_us_ours_is_the_only_dispatch(
    as_participant: Join,
    idle_worker: Worker,
    livekit: LiveKitServer,
    people: People,
    room_name: str,
    settings: Any,
) -> None:
    settings.LIVEKIT_SERVES_ONLY_US = True

    as_participant().post(f"rooms/{room_name}/subtitles/", {})

    async def until_alone() -> None:
        async with asyncio.timeout(5), livekit.api() as lkapi:
            while len(await lkapi.agent_dispatch.list_dispatch(room_name)) != 1:
                pass

    people.do(until_alone())
    assert len(dispatches(livekit, people, room_name)) == 1


def test_a_start_may_be_empty_and_then_uses_the_deployments_language(
    as_participant: Join, room_name: str
) -> None:
    assert as_participant().post(f"rooms/{room_name}/subtitles/").json()["language"] == "en"


def test_a_language_the_engine_does_not_speak_is_refused_and_starts_nothing(
    as_participant: Join, room_name: str
) -> None:
    answer = as_participant().post(f"rooms/{room_name}/subtitles/", {"language": "fr"})

    assert (answer.status_code, answer.json()["code"]) == (400, "language_not_available")
    assert not Session.objects.exists()


@pytest.mark.parametrize("method", METHODS)
def test_only_somebody_who_is_in_the_room_now_may_do_anything(
    as_participant: Join, livekit: LiveKitServer, room_name: str, method: str
) -> None:
    as_participant("ada")
    absent = Api(livekit.token(room_name, "mallory"))

    answer = absent.call(method, f"rooms/{room_name}/subtitles/", ENGLISH)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_participant")
    assert not Session.objects.exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_room_that_does_not_exist_is_404_and_is_not_created(
    livekit: LiveKitServer, people: People, room_name: str, method: str
) -> None:
    answer = Api(livekit.token(room_name, "ada")).call(method, f"rooms/{room_name}/subtitles/", ENGLISH)

    assert (answer.status_code, answer.json()["code"]) == (404, "room_absent")
    assert room_name not in rooms(livekit, people)


def test_a_token_for_another_room_opens_no_door_here(as_participant: Join, room_name: str) -> None:
    answer = as_participant().post(f"rooms/{room_name}-other/subtitles/", {})

    assert (answer.status_code, answer.json()["code"]) == (403, "room_forbidden")


def test_a_hidden_participant_is_nobody(
    as_participant: Join, livekit: LiveKitServer, people: People, room_name: str
) -> None:
    as_participant("ada")
    people.join(room_name, "spy", hidden=True)

    answer = Api(livekit.token(room_name, "spy")).post(f"rooms/{room_name}/subtitles/", {})

    assert answer.status_code == 403


def test_without_a_token_the_answer_is_401_and_says_which_kind_is_wanted(
    livekit: LiveKitServer, room_name: str
) -> None:
    answer = Api(None).get(f"rooms/{room_name}/subtitles/")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_refused")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_stop_leaves_neither_session_nor_dispatch_and_is_idle_at_once(
    as_participant: Join, idle_worker: Worker, livekit: LiveKitServer, people: People, room_name: str
) -> None:
    ada = as_participant()
    ada.post(f"rooms/{room_name}/subtitles/", {})

    stopped = ada.delete(f"rooms/{room_name}/subtitles/")

    assert (stopped.status_code, stopped.json()["state"]) == (200, "idle")
    assert dispatches(livekit, people, room_name) == []
    assert leases.active_session(room_name) is None
    assert ada.get(f"rooms/{room_name}/subtitles/").json()["state"] == "idle"


def test_a_stop_removes_the_agent_from_the_room(
    as_participant: Join, idle_worker: Worker, livekit: LiveKitServer, people: People, room_name: str
) -> None:
    ada = as_participant()
    ada.post(f"rooms/{room_name}/subtitles/", {})
    session = Session.objects.get(room=room_name)
    agent = people.join(room_name, session.agent_identity, agent=True, hidden=True)

    assert ada.delete(f"rooms/{room_name}/subtitles/").json()["state"] == "idle"

    people.do(until_disconnected(agent))


def test_stopping_what_does_not_run_is_idle(as_participant: Join, room_name: str) -> None:
    answer = as_participant().delete(f"rooms/{room_name}/subtitles/")

    assert (answer.status_code, answer.json()["state"]) == (200, "idle")


def test_after_a_stop_a_start_is_new(as_participant: Join, room_name: str) -> None:
    ada = as_participant()
    path = f"rooms/{room_name}/subtitles/"
    ada.post(path, {})
    ada.delete(path)

    assert ada.post(path, {}).status_code == 201


def test_the_room_is_told_of_a_start_and_a_stop_while_no_agent_is_there(
    as_participant: Join, people: People, room_name: str
) -> None:
    ada = as_participant()
    viewer = people.join(room_name, "viewer")
    heard: list[tuple[str, str | None, bytes]] = []
    idle = asyncio.Event()

    def hear(packet: rtc.DataPacket) -> None:
        heard.append((packet.participant.identity if packet.participant else "", packet.topic, packet.data))
        if b'"idle"' in packet.data:
            idle.set()

    viewer.on("data_received", hear)

    ada.post(f"rooms/{room_name}/subtitles/", {})
    ada.delete(f"rooms/{room_name}/subtitles/")

    people.do(asyncio.wait_for(idle.wait(), 5))
    assert {(sender, topic) for sender, topic, _ in heard} == {("", "roomscribe.status")}
    assert b'"waiting_for_worker"' in heard[0][2]


def test_a_room_that_failed_says_why_until_anybody_starts_again(
    as_participant: Join, idle_worker: Worker, worker_api: WorkerApi, room_name: str
) -> None:
    path = f"rooms/{room_name}/subtitles/"
    ada, bob = as_participant("ada"), as_participant("bob")

    def report(state: State, reason: Reason | None = None) -> None:
        session = leases.active_session(room_name)
        assert session is not None
        claimed = worker_api.post(PATH_CLAIM.format(session=session.pk), ClaimRequest(generation=1))
        job = JobReport(session=str(session.pk), generation=1, state=state, reason=reason)
        beat = WorkerHeartbeat(capacity=8, draining=False, engines=(), jobs=(job,))
        heard = worker_api.post(PATH_HEARTBEAT.format(worker="worker-1"), beat)
        assert (claimed.status_code, heard.status_code) == (200, 200)

    def said() -> tuple[str, str | None]:
        state = bob.get(path).json()
        return state["state"], state["reason"]

    ada.post(path, {})
    report(State.FAILED, Reason.E2EE_ROOM)
    assert said() == ("failed", "e2ee_room")
    assert bob.delete(path).json()["state"] == "failed"

    again = bob.post(path, {})

    assert (again.status_code, again.json()["state"], again.json()["reason"]) == (201, "requested", None)
    report(State.DEGRADED, Reason.E2EE_ROOM)
    assert said() == ("degraded", "e2ee_room")
    assert ada.post(path, {}).status_code == 200


def test_meets_own_paths_start_and_stop(as_participant: Join, room_name: str) -> None:
    ada = as_participant()

    started = ada.post(f"rooms/{room_name}/start-subtitle/")
    assert (started.status_code, started.json()) == (200, {"status": "success"})
    assert leases.active_session(room_name) is not None

    stopped = ada.post(f"rooms/{room_name}/stop-subtitle/")
    assert (stopped.status_code, stopped.json()) == (200, {"status": "success"})
    assert leases.active_session(room_name) is None


def test_a_session_of_an_earlier_meeting_is_not_this_ones(as_participant: Join, room_name: str) -> None:
    Session.objects.create(
        room=room_name, room_sid="RM_earlier", language="en", engine="embedded", started_by="eve"
    )
    ada = as_participant()

    assert ada.get(f"rooms/{room_name}/subtitles/").json()["state"] == "idle"
    assert ada.post(f"rooms/{room_name}/subtitles/", {}).status_code == 201


def test_subtitles_that_are_switched_off_do_not_start(
    as_participant: Join, room_name: str, settings: Any
) -> None:
    settings.SUBTITLES_ENABLED = False

    answer = as_participant().post(f"rooms/{room_name}/subtitles/", {})

    assert (answer.status_code, answer.json()["code"]) == (403, "subtitles_off")


@pytest.mark.parametrize("method", METHODS)
def test_a_livekit_that_is_silent_is_503_within_a_second(
    livekit: LiveKitServer, silent_livekit: None, room_name: str, method: str
) -> None:
    began_s = time.monotonic()

    answer = Api(livekit.token(room_name, "ada")).call(method, f"rooms/{room_name}/subtitles/", ENGLISH)

    assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
    assert time.monotonic() - began_s < 1


def test_a_livekit_that_does_not_know_our_key_is_503_and_not_ready(
    livekit: LiveKitServer, settings: Any, room_name: str
) -> None:
    token = livekit.token(room_name, "ada")
    settings.LIVEKIT_API_SECRET = "another-secret-" + "x" * 32

    assert Api(token).post(f"rooms/{room_name}/subtitles/", {}).status_code == 503
    assert Client().get("/readyz").json()["livekit"] is False


def test_a_cache_that_is_away_is_not_asked_for_permission(
    as_participant: Join, room_name: str, settings: Any
) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }
    ada = as_participant()

    assert ada.post(f"rooms/{room_name}/subtitles/", {}).status_code == 201
    assert ada.get(f"rooms/{room_name}/subtitles/").status_code == 200
    assert Client().get("/readyz").json()["cache"] is False


def test_a_livekit_that_is_away_is_503(livekit: LiveKitServer, settings: Any, room_name: str) -> None:
    settings.LIVEKIT_URL = "ws://127.0.0.1:9"

    answer = Api(livekit.token(room_name, "ada")).post(f"rooms/{room_name}/subtitles/", {})

    assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
    assert answer["Retry-After"] == "2"
