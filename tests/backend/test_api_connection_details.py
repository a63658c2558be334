"""`POST /api/v1.0/connection-details/`, LiveKit's standard token endpoint."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.backend.conftest import Api, People
from tests.support.livekit import LiveKitServer

PATH = "connection-details/"


def claims_of(answer: Any, livekit: LiveKitServer) -> dict[str, Any]:
    return dict(jwt.decode(answer.json()["participant_token"], livekit.api_secret, algorithms=["HS256"]))


def test_a_name_and_a_room_give_a_token_that_joins_just_that_room(livekit: LiveKitServer) -> None:
    answer = Api(None).post(PATH, {"room_name": "agora", "participant_name": "Ada"})

    assert answer.status_code == 201
    assert answer.json()["server_url"] == livekit.url
    assert (answer.json()["room_name"], answer.json()["participant_name"]) == ("agora", "Ada")
    claims = claims_of(answer, livekit)
    assert claims["video"] == {
        "room": "agora", "roomJoin": True, "canPublish": True, "canSubscribe": True, "canPublishData": True,
    }  # fmt: skip
    assert claims["name"] == "Ada"
    assert 890 <= claims["exp"] - time.time() <= 900


@pytest.mark.parametrize("name", ["", "   ", None])
def test_an_empty_name_becomes_a_guests(livekit: LiveKitServer, name: str | None) -> None:
    body = {"room_name": "agora"} if name is None else {"room_name": "agora", "participant_name": name}

    assert Api(None).post(PATH, body).json()["participant_name"] == "Guest"


@pytest.mark.parametrize("name", ["Zoë", "김민준", "علي", "Ада", "👩‍🏫"])
def test_a_name_may_be_in_any_script(livekit: LiveKitServer, name: str) -> None:
    assert (
        claims_of(Api(None).post(PATH, {"room_name": "agora", "participant_name": name}), livekit)["name"]
        == name
    )


def test_people_who_name_no_identity_get_different_ones(livekit: LiveKitServer) -> None:
    tokens = [claims_of(Api(None).post(PATH, {"room_name": "agora"}), livekit) for _ in range(2)]

    assert tokens[0]["sub"] != tokens[1]["sub"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"room_name": "r", "participant_identity": "subtitles-0-1"}, "identity_reserved"),
        (
            {"room_name": "r", "participant_attributes": {"roomscribe.role": "captioner"}},
            "attribute_not_allowed",
        ),
        ({"room_name": "r", "room_config": {"agents": [{"agent_name": "x"}]}}, "attribute_not_allowed"),
        ({"room_name": ""}, "invalid_body"),
        ({"room_name": "x" * 257}, "invalid_body"),
        ({"room_name": "a\x00b"}, "invalid_body"),
        ({"room_name": "r", "participant_identity": "a\u202eb"}, "invalid_body"),
        ({"room_name": 5, "participant_name": {}}, "invalid_body"),
        ([], "invalid_body"),
    ],
)
def test_what_may_not_be_asked_for_is_refused(livekit: LiveKitServer, body: object, code: str) -> None:
    answer = Api(None).post(PATH, body)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_an_identity_that_is_in_the_room_is_not_given_to_another(
    livekit: LiveKitServer, people: People, room_name: str
) -> None:
    people.join(room_name, "ada")
    wanted = {"room_name": room_name, "participant_identity": "ada"}

    taken = Api(None).post(PATH, wanted)
    own = Api(livekit.token(room_name, "ada")).post(PATH, wanted)

    assert (taken.status_code, taken.json()["code"]) == (409, "identity_in_use")
    assert own.status_code == 201


def test_a_valid_token_is_renewed_for_somebody_who_is_in_the_room(
    livekit: LiveKitServer, as_participant: Callable[..., Api], room_name: str
) -> None:
    answer = as_participant("ada").post(PATH)

    assert answer.status_code == 201
    claims = claims_of(answer, livekit)
    assert (claims["sub"], claims["video"]["room"], claims["name"]) == ("ada", room_name, "Ada")
    assert 890 <= claims["exp"] - time.time() <= 900


def test_a_renewed_token_has_no_more_rights_than_the_old(
    livekit: LiveKitServer, as_participant: Callable[..., Api]
) -> None:
    answer = as_participant("ada", can_publish=False, room_admin=True).post(PATH)

    video = claims_of(answer, livekit)["video"]
    assert video["canPublish"] is False
    assert not video.get("roomAdmin")


def test_somebody_who_has_left_cannot_renew(
    livekit: LiveKitServer, as_participant: Callable[..., Api], room_name: str
) -> None:
    as_participant("bob")

    assert Api(livekit.token(room_name, "ada")).post(PATH).status_code == 403


def test_a_token_that_is_not_valid_is_not_renewed_nor_passed_over(livekit: LiveKitServer) -> None:
    assert Api("abc.def.ghi").post(PATH, {"room_name": "r"}).status_code == 401


def test_where_it_is_off_it_gives_nothing(livekit: LiveKitServer, settings: Any) -> None:
    settings.CONNECTION_DETAILS_ENABLED = False

    answer = Api(None).post(PATH, {"room_name": "r"})

    assert (answer.status_code, answer.json()["code"]) == (403, "connection_details_off")
