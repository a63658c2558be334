"""`POST /api/v1.0/webhooks/livekit/`."""

import base64
import hashlib
import json
import time
from typing import Any

import jwt
import pytest
from django.test import Client

from backend.leases import services as leases
from backend.leases.models import Session
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(db: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    return made


def event(name: str = "room_finished", *, sid: str = "RM_1", created_s: float | None = None) -> bytes:
    created = int(time.time() if created_s is None else created_s)
    return json.dumps({"event": name, "room": {"sid": sid, "name": "r"}, "createdAt": str(created)}).encode()


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


@pytest.mark.parametrize("body", [event(sid="RM_2"), event("participant_joined"), event("something_new")])
def test_other_rooms_and_other_events_change_nothing(
    livekit: LiveKitServer, session: Session, body: bytes
) -> None:
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
