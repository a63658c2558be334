"""`POST /api/v1.0/webhooks/livekit/`."""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from livekit import api

from backend.dispatch.rooms import require_presence
from backend.keeper.rounds import keep
from backend.leases import services as leases
from backend.leases.models import Session, Worker
from backend.meetings import keeping
from backend.meetings.models import AuditEntry, KeptPeriod, Meeting, Person, Recording
from contract.status import Reason, State
from tests.backend.conftest import People
from tests.backend.test_api_rooms_subtitles import dispatches
from tests.support.livekit import LiveKitServer, RunningLiveKit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(db: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    return made


def event(
    name: str = "room_finished",
    *,
    room: str = "r",
    sid: str = "RM_1",
    created_s: float | None = None,
    **participant: object,
) -> bytes:
    created = int(time.time() if created_s is None else created_s)
    told: dict[str, object] = {"event": name, "room": {"sid": sid, "name": room}, "createdAt": str(created)}
    if participant:
        told["participant"] = {"identity": "bob", "kind": "STANDARD", **participant}
    return json.dumps(told).encode()


def token(livekit: LiveKitServer, body: bytes, *, secret: str | None = None, **changes: object) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": livekit.api_key, "exp": time.time() + 60, "sha256": digest, **changes}
    return jwt.encode(claims, secret or livekit.api_secret, algorithm="HS256")


def post(body: bytes, authorization: str | None) -> Any:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Client().generic(
        "POST",
        "/api/v1.0/webhooks/livekit/",
        data=body,
        content_type="application/webhook+json",
        headers=headers,
    )


def test_a_finished_room_ends_its_session(livekit: LiveKitServer, session: Session) -> None:
    assert post(event(), token(livekit, event())).status_code == 200

    session.refresh_from_db()
    assert (session.state, session.reason, session.is_active) == ("idle", "room_empty", False)


@pytest.mark.parametrize(
    ("name", "sid"), [("room_finished", "RM_2"), ("participant_joined", "RM_1"), ("something_new", "RM_1")]
)
def test_other_rooms_and_other_events_change_nothing(
    livekit: LiveKitServer, session: Session, name: str, sid: str
) -> None:
    body = event(name, sid=sid)
    assert post(body, token(livekit, body)).status_code == 200

    session.refresh_from_db()
    assert session.is_active


def test_a_replay_does_nothing_to_the_next_meeting(livekit: LiveKitServer, session: Session) -> None:
    body = event()
    post(body, token(livekit, body))
    again, _ = leases.open_session(
        room="r", room_sid="RM_2", language="en", engine="embedded", started_by="ada"
    )

    assert post(body, token(livekit, body)).status_code == 200

    again.refresh_from_db()
    assert again.is_active


def refused(livekit: LiveKitServer, case: str) -> tuple[bytes, str | None]:
    body = event()
    match case:
        case "no signature":
            return body, None
        case "other secret":
            return body, token(livekit, body, secret="x" * 40)
        case "other key":
            return body, token(livekit, body, iss="nobody")
        case "other body":
            return event(sid="RM_9"), token(livekit, body)
        case "no hash":
            return body, token(livekit, body, sha256=None)
        case "expired":
            return body, token(livekit, body, exp=time.time() - 120)
        case "old":
            old = event(created_s=time.time() - 600)
            return old, token(livekit, old)
        case "participant token":
            return body, livekit.token("r", "ada")
        case _:
            return body, "a.b.c"


@pytest.mark.parametrize(
    "case",
    [
        "no signature",
        "other secret",
        "other key",
        "other body",
        "no hash",
        "expired",
        "old",
        "participant token",
        "junk",
    ],
)
def test_what_livekit_did_not_sign_just_now_is_refused(
    livekit: LiveKitServer, session: Session, case: str
) -> None:
    answer = post(*refused(livekit, case))

    assert (answer.status_code, answer.json()["code"]) == (401, "webhook_refused")
    session.refresh_from_db()
    assert session.is_active


@pytest.mark.parametrize("body", [b"x" * 100_000, b"{", b"\xff\xfe", b'{"event": 5}'])
def test_a_body_that_is_too_large_or_no_event_is_a_bad_request(livekit: LiveKitServer, body: bytes) -> None:
    assert post(body, token(livekit, body)).status_code == 400


def send(livekit: LiveKitServer, body: bytes) -> int:
    """The status that LiveKit gets, and in time."""
    began_s = time.monotonic()
    status = int(post(body, token(livekit, body)).status_code)
    assert time.monotonic() - began_s < 1
    return status


@pytest.fixture
def emptied(people: People, livekit: LiveKitServer, room_name: str) -> Session:
    """Everybody had left, so that the agent did too; bob is back, and nobody has noticed yet."""
    people.join(room_name, "bob")
    presence = require_presence(room=room_name, identity="bob")
    made, _ = leases.open_session(
        room=room_name, room_sid=presence.room_sid, language="en", engine="embedded", started_by="ada"
    )
    waiting = leases.next_generation(made, reason=Reason.ROOM_EMPTY)
    assert waiting is not None
    return waiting


def joined_again(session: Session, **participant: object) -> bytes:
    return event(
        "participant_joined", room=session.room, sid=session.room_sid, **{"identity": "bob", **participant}
    )


def test_somebody_who_returns_to_an_emptied_room_gets_an_agent_at_once(
    livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker
) -> None:
    assert send(livekit, joined_again(emptied)) == 200

    emptied.refresh_from_db()
    assert (emptied.state, emptied.reason, emptied.generation) == ("requested", None, 2)
    assert len(dispatches(livekit, people, emptied.room)) == 1


def test_a_hundred_of_the_same_at_once_make_one_dispatch(
    livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker
) -> None:
    body = joined_again(emptied)

    def one(_: int) -> int:
        try:
            return int(post(body, token(livekit, body)).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(100) as threads:
        assert set(threads.map(one, range(100))) == {200}

    emptied.refresh_from_db()
    assert (emptied.state, emptied.generation) == ("requested", 2)
    assert len(dispatches(livekit, people, emptied.room)) == 1


def test_a_keeper_that_looks_at_the_same_time_makes_no_second_dispatch(
    livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker
) -> None:
    body = joined_again(emptied)

    def look_or_tell(number: int) -> None:
        try:
            if number % 2:
                keep(workers_judged=True)
            else:
                post(body, token(livekit, body))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(look_or_tell, range(8)))

    emptied.refresh_from_db()
    assert (emptied.state, emptied.generation) == ("requested", 2)
    assert len(dispatches(livekit, people, emptied.room)) == 1


def test_without_a_worker_the_one_who_returns_is_told_so(
    livekit: LiveKitServer, people: People, emptied: Session
) -> None:
    assert send(livekit, joined_again(emptied)) == 200

    emptied.refresh_from_db()
    assert (emptied.state, emptied.reason) == ("waiting_for_worker", "no_worker")
    assert dispatches(livekit, people, emptied.room) == []


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "AGENT"},
        {"kind": "EGRESS"},
        {"permission": {"hidden": True}},
        {"permission": {"agent": True}},
        {"identity": "somebody-who-has-left-again"},
    ],
    ids=str,
)
def test_who_is_no_person_or_not_there_brings_no_agent(
    livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker, told: dict[str, object]
) -> None:
    assert send(livekit, joined_again(emptied, **told)) == 200

    emptied.refresh_from_db()
    assert (emptied.state, emptied.reason) == ("waiting_for_worker", "room_empty")
    assert dispatches(livekit, people, emptied.room) == []


@pytest.mark.parametrize(
    "state", [State.REQUESTED, State.JOINING, State.LIVE, State.DEGRADED, State.STOPPING]
)
def test_somebody_more_changes_nothing_where_an_agent_is_or_is_on_its_way(
    livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker, state: State
) -> None:
    Session.objects.update(state=state, reason=None, dispatched_at=timezone.now())

    assert send(livekit, joined_again(emptied)) == 200

    emptied.refresh_from_db()
    assert (emptied.state, emptied.generation) == (state, 2)
    assert dispatches(livekit, people, emptied.room) == []


def test_whatever_is_told_of_an_agent_its_heartbeats_decide(livekit: LiveKitServer, session: Session) -> None:
    Session.objects.update(state=State.LIVE, worker="worker-1", heartbeat_at=timezone.now())
    before = Session.objects.values().get()

    for name, identity in itertools.product(
        ("participant_left", "participant_joined", "participant_connection_aborted"),
        (session.agent_identity, session.identity_of(9), "bob"),
    ):
        assert send(livekit, event(name, identity=identity, kind="AGENT")) == 200

    assert Session.objects.values().get() == before


def test_messages_of_a_meeting_in_any_order_and_doubled_end_where_they_end_in_order(
    livekit: LiveKitServer, session: Session
) -> None:
    told = [
        event("room_started"),
        event("participant_joined", identity="bob"),
        event("participant_left"),
        event(),
    ]

    for body in [*reversed(told), *told, *told]:
        assert send(livekit, body) == 200

    session.refresh_from_db()
    assert (session.state, session.reason, session.is_active) == ("idle", "room_empty", False)


def test_a_room_of_no_sid_ends_nothing(livekit: LiveKitServer, session: Session) -> None:
    Session.objects.update(room_sid="")

    assert send(livekit, event(sid="")) == 200

    session.refresh_from_db()
    assert session.is_active


def test_a_livekit_that_tells_and_does_not_answer_gets_its_own_answer_in_time(
    livekit: LiveKitServer, emptied: Session, idle_worker: Worker, silent_livekit: None
) -> None:
    assert send(livekit, joined_again(emptied)) == 200

    emptied.refresh_from_db()
    assert (emptied.state, emptied.reason) == ("waiting_for_worker", "room_empty")


def test_a_finished_room_ends_its_meeting_and_what_was_kept_until_then(
    livekit: LiveKitServer, session: Session
) -> None:
    assert session.meeting is not None
    keeping.begin_keeping(session.meeting)

    assert [send(livekit, event()) for _ in range(2)] == [200, 200]

    meeting = Meeting.objects.get()
    assert meeting.ended_at is not None and meeting.kept_since is None
    assert KeptPeriod.objects.get().until is not None
    assert [(e.action, e.actor, e.meeting) for e in AuditEntry.objects.all()] == [
        ("stop_keeping", "room", meeting.pk)
    ]


def test_a_meeting_that_waits_for_livekit_to_find_its_room_does_not_end_with_the_old_one(
    livekit: LiveKitServer, session: Session
) -> None:
    leases.await_room(session)

    send(livekit, event())

    assert Meeting.objects.get().ended_at is None


def test_a_first_join_is_livekits_time_of_it_and_noted_only_while_a_transcript_is_kept(
    livekit: LiveKitServer, session: Session
) -> None:
    joins = [
        event("participant_joined", joinedAt="1767268800", joinedAtMs=at)
        for at in ("1767268800500", "1767268700250")
    ]
    agent = event("participant_joined", identity="agent", kind="AGENT", joinedAt="1767268800")
    nobody = event("participant_joined", identity="a\0", joinedAt="1767268800")
    send(livekit, joins[0])
    assert not Person.objects.exists()
    assert session.meeting is not None
    keeping.begin_keeping(session.meeting)

    for body in (joins[0], agent, nobody, joins[1], joins[0]):
        assert send(livekit, body) == 200

    bob = Person.objects.get()
    assert bob.first_joined_at is not None
    assert (bob.identity, keeping.epoch_ms(bob.first_joined_at)) == ("bob", 1767268700250)


def recorded(name: str, *, room: str = "r", sid: str = "RM_1", egress: str = "EG_1", **info: object) -> bytes:
    """As LiveKit tells of a recording: the room stands within."""
    told = {
        "event": name,
        "createdAt": str(int(time.time())),
        "egressInfo": {
            "egressId": egress,
            "roomId": sid,
            "roomName": room,
            "startedAt": "1767268800123456789",
            **info,
        },
    }
    return json.dumps(told).encode()


def file_called(name: str) -> dict[str, object]:
    return {"fileResults": [{"filename": name}, {"filename": "other.mp4"}]}


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_recording_is_noted_once_in_whatever_order_it_is_told(
    livekit: LiveKitServer, session: Session, order: tuple[int, ...]
) -> None:
    told = [
        recorded("egress_started"),
        recorded("egress_updated", **file_called("rec/draft.mp4")),
        recorded("egress_ended", **file_called("rec/2026-01-01.mp4")),
    ]

    for number in (*order, *order):
        assert send(livekit, told[number]) == 200

    recording = Recording.objects.get()
    assert (recording.meeting, recording.egress_id) == (session.meeting, "EG_1")
    assert recording.started_at_ms == 1767268800123
    assert recording.filename == "2026-01-01.mp4"


@pytest.mark.parametrize(
    ("path", "filename"),
    [
        ("s3/bucket/a b.mp4", "a b.mp4"),
        ("C:\\rec\\a.mp4", "a.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        ("a/", ""),
        ("a\r\nX-Injected: yes.mp4", "aX-Injected: yes.mp4"),
        ("\u202egpm.exe\u200b\u0000", "gpm.exe"),
        ("é" * 300, "é" * 255),
    ],
)
def test_the_name_of_a_recording_is_a_plain_name(
    livekit: LiveKitServer, session: Session, path: str, filename: str
) -> None:
    assert send(livekit, recorded("egress_ended", **file_called(path))) == 200

    assert Recording.objects.get().filename == filename


@pytest.mark.parametrize(
    "body",
    [
        recorded("egress_started", startedAt="0"),
        recorded("egress_started", startedAt=str(2**63 - 1)),
        recorded("egress_started", startedAt="-5"),
        recorded("egress_started", egress=""),
        recorded("egress_started", egress="E" * 65),
        recorded("egress_started", sid=""),
        recorded("egress_started", sid="R" * 65),
        recorded("egress_started", sid="RM_2", room="r\0"),
        recorded("egress_started", sid="RM_2", room="r" * 257),
        recorded("egress_ended", sid="RM_unheard_of"),
    ],
)
def test_what_names_no_recording_of_ours_notes_none(
    livekit: LiveKitServer, session: Session, body: bytes
) -> None:
    assert send(livekit, body) == 200

    assert not Recording.objects.exists()
    assert Meeting.objects.get() == session.meeting


@pytest.mark.parametrize("policy", ["room_admin", "off"])
def test_a_recording_that_begins_first_is_noted_where_a_transcript_may_follow(
    livekit: LiveKitServer, settings: Any, policy: str
) -> None:
    settings.TRANSCRIPTS_POLICY = policy

    assert send(livekit, recorded("egress_started", sid="RM_7")) == 200

    assert Recording.objects.filter(meeting__room_sid="RM_7").exists() == (policy != "off")


class TestLiveKitsOwn:
    """As LiveKit itself sends them, to a backend without a keeper."""

    @pytest.fixture
    def livekit_server(self, live_server: Any, tmp_path: Path) -> Iterator[LiveKitServer]:
        with RunningLiveKit(tmp_path, webhook_url=f"{live_server.url}/api/v1.0/webhooks/livekit/") as server:
            yield server

    def test_somebody_returns(
        self, livekit: LiveKitServer, people: People, emptied: Session, idle_worker: Worker
    ) -> None:
        people.join(emptied.room, "ada")

        until(lambda: dispatches(livekit, people, emptied.room) != [])
        emptied.refresh_from_db()
        assert emptied.state == "requested"

    def test_the_room_is_deleted(self, livekit: LiveKitServer, people: People, emptied: Session) -> None:
        async def delete() -> None:
            async with livekit.api() as lkapi:
                await lkapi.room.delete_room(api.DeleteRoomRequest(room=emptied.room))

        people.do(delete())

        until(lambda: Session.objects.filter(ended_at=None).count() == 0)
        emptied.refresh_from_db()
        assert (emptied.state, emptied.reason) == ("idle", "room_empty")


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 2
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
