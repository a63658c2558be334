import time

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from backend.errors import RoomForbidden, TokenRefused
from backend.tokens.claims import RoomClaims, verify_token
from backend.tokens.issue import issue_token
from backend.tokens.permissions import claims_for_room

KEY, SECRET = "ourkey", "our-secret-" + "z" * 32


def request_of(claims: object) -> Request:
    request = Request(APIRequestFactory().get("/"))
    request.auth = claims
    return request


@pytest.fixture
def claims() -> RoomClaims:
    token = issue_token(
        room="agora", identity="ada", name="Ada", metadata="", ttl_s=900, key=KEY, secret=SECRET
    )
    return verify_token(token, keys={KEY: SECRET}, now_s=time.time())


def test_the_door_opens_for_the_room_of_the_token(claims: RoomClaims) -> None:
    assert claims_for_room(request_of(claims), "agora") is claims


@pytest.mark.parametrize(
    "room", ["", "Agora", "agora ", "agora\n", "agor", "agorá", "*", "../agora", "agora/"]
)
def test_the_door_stays_shut_for_every_other_room(claims: RoomClaims, room: str) -> None:
    with pytest.raises(RoomForbidden):
        claims_for_room(request_of(claims), room)


@pytest.mark.parametrize("auth", [None, "agora", {"room": "agora"}, ("agora",)])
def test_what_is_not_a_verified_token_opens_nothing(auth: object) -> None:
    with pytest.raises(TokenRefused):
        claims_for_room(request_of(auth), "agora")
