"""The corpus over HTTP, against the backend as it is run and a real LiveKit."""

import asyncio
import json
import re
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import api, rtc

from tests.backend.running_backend import Answer, RunningBackend
from tests.backend.tokens.corpus import CASES, EXTRA_KEY, EXTRA_SECRET, GOOD, Forge
from tests.support.livekit import LiveKitServer
from tests.support.people import joined

IDENTITY = "ada"
# What only an exception's text, or Python's, would hold.
INTERNALS = re.compile(
    r"Traceback|Exception|Error\(|jwt\.|livekit\.|django\.|File \"|segments|signature", re.I
)


@pytest.fixture(scope="module")
def backend(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBackend]:
    extra = f"{EXTRA_KEY}:{EXTRA_SECRET}"
    directory = tmp_path_factory.mktemp("backend")
    with RunningBackend(directory, livekit_server, LIVEKIT_EXTRA_KEYS=extra) as running:
        yield running


@pytest.fixture
def room() -> str:
    """With an accent, capitals and dashes, for the names that are nearly the same."""
    return f"Réunion-{time.monotonic_ns():x}-ab"


def forge_for(backend: RunningBackend, room: str, identity: str = IDENTITY) -> Forge:
    livekit = backend.livekit
    return Forge(
        room=room, identity=identity, now_s=time.time(), key=livekit.api_key, secret=livekit.api_secret
    )


def subtitles(room: str) -> str:
    return f"/api/v1.0/rooms/{urllib.parse.quote(room, safe='')}/subtitles/"


async def start(
    backend: RunningBackend, room: str, authorization: list[str], *, method: str = "POST"
) -> Answer:
    return await asyncio.to_thread(
        backend.request, method, subtitles(room), authorization=authorization, body=b'{"language": "en"}'
    )


async def rooms(livekit: LiveKitServer) -> set[str]:
    async with livekit.api() as lkapi:
        return {room.name for room in (await lkapi.room.list_rooms(api.ListRoomsRequest())).rooms}


@asynccontextmanager
async def in_room(backend: RunningBackend, room: str, identity: str = IDENTITY) -> AsyncIterator[rtc.Room]:
    """Somebody in the room, and nothing left of it afterwards."""
    async with joined(backend.livekit, room, identity) as person:
        yield person
        async with backend.livekit.api() as lkapi:
            await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_the_corpus_over_http(backend: RunningBackend, room: str, method: str) -> None:
    wrong, sent, log_start = [], [], len(backend.log())
    async with in_room(backend, room):
        before = await rooms(backend.livekit)
        for case in CASES:
            if case.get("only") == "direct":
                continue
            forge = forge_for(backend, room)
            authorization = forge.authorization(case)
            sent.append(forge.token(case))
            answer = await start(backend, room, authorization, method=method)
            wanted = [201, *case["expect"]] if 200 in case["expect"] else case["expect"]
            # Who hangs up on a header of a megabyte has refused it.
            hung_up = answer.status == 0 and 431 in case["expect"]
            if answer.status not in wanted and not hung_up:
                wrong.append(f"{case['name']}: {answer.status}, not {case['expect']}")
            if answer.took_s > 1.0:
                wrong.append(f"{case['name']}: {answer.took_s:.2f} s")
            if answer.status in (401, 403) and not is_constant(answer):
                wrong.append(f"{case['name']}: {answer.text}")
            if answer.status == 401 and answer.headers.get("www-authenticate") != "Bearer":
                wrong.append(f"{case['name']}: no WWW-Authenticate")
        assert await rooms(backend.livekit) <= before
    assert wrong == []
    assert len(sent) > 200
    assert_nothing_leaked(backend.log()[log_start:], sent, backend)


def is_constant(answer: Answer) -> bool:
    """One body for each status, whatever was sent."""
    details = {
        "token_refused": "A valid LiveKit participant token is needed.",
        "room_forbidden": "This token does not allow this in this room.",
    }
    return answer.json() in [{"code": code, "detail": detail} for code, detail in details.items()]


def assert_nothing_leaked(log: str, tokens: list[str], backend: RunningBackend) -> None:
    """The log is there to see, and holds no token, no claim, no secret and no exception."""
    assert "token refused" in log
    for secret in [*backend.secrets.values(), EXTRA_SECRET]:
        assert secret not in log
    for token in tokens:
        for segment in token.split("."):
            assert len(segment) < 12 or segment not in log
    assert "forged line" not in log
    assert "\x00" not in log
    assert "\u202e" not in log
    for line in log.splitlines():
        if "token refused" not in line:
            assert not INTERNALS.search(line), line


@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda token: {"target": f"?access_token={token}&token={token}&jwt={token}"},
        lambda token: {"headers": [("Cookie", f"token={token}; access_token={token}; sessionid={token}")]},
        lambda token: {"body": json.dumps({"token": token, "access_token": token}).encode()},
        lambda token: {"headers": [("X-Authorization", f"Bearer {token}"), ("Proxy-Authorization", token)]},
        lambda token: {"headers": [("Authorization_", token), ("Http_Authorization", f"Bearer {token}")]},
    ],
    ids=["query", "cookie", "body", "other headers", "underscores"],
)
async def test_a_valid_token_anywhere_but_in_its_header_is_no_token(
    backend: RunningBackend, room: str, elsewhere: Any
) -> None:
    async with in_room(backend, room):
        token = forge_for(backend, room).token(GOOD)
        placed = {"target": "", "body": b"{}", **elsewhere(token)}
        target = subtitles(room) + str(placed.pop("target"))
        answer = await asyncio.to_thread(backend.request, "POST", target, **placed)
    assert (answer.status, is_constant(answer)) == (401, True)
    assert token not in backend.log()


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_without_a_token_every_method_answers_401(
    backend: RunningBackend, room: str, method: str
) -> None:
    answer = await asyncio.to_thread(backend.request, method, subtitles(room), body=b"{}")
    assert (answer.status, is_constant(answer), answer.headers["www-authenticate"]) == (401, True, "Bearer")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "subtitles/"),
        ("POST", "subtitles/"),
        ("PATCH", "subtitles/"),
        ("DELETE", "subtitles/"),
        ("POST", "start-subtitle/"),
        ("POST", "stop-subtitle/"),
    ],
)
@pytest.mark.parametrize(
    ("case", "status"),
    [
        ({"signed": "wrong"}, 401),
        ({"set": {"video.room": "other"}}, 403),
        ({"set": {"video.hidden": True}}, 403),
        ({"remove": ["video.roomJoin"]}, 403),
    ],
    ids=["wrong secret", "other room", "hidden", "no join"],
)
async def test_every_endpoint_of_a_room_has_the_same_door(
    backend: RunningBackend, room: str, method: str, path: str, case: dict[str, Any], status: int
) -> None:
    target = subtitles(room).removesuffix("subtitles/") + path
    authorization = forge_for(backend, room).authorization(case)
    answer = await asyncio.to_thread(backend.request, method, target, authorization=authorization, body=b"{}")
    assert (answer.status, is_constant(answer)) == (status, True)


async def test_connection_details_refuses_a_bad_token_and_renews_none(
    backend: RunningBackend, room: str
) -> None:
    forge = forge_for(backend, room)
    for case in CASES:
        if case["expect"] in ([401], [403]) and case.get("only") != "direct":
            answer = await asyncio.to_thread(
                backend.request,
                "POST",
                "/api/v1.0/connection-details/",
                authorization=forge.authorization(case),
                body=b"",
            )
            # A token for another room is a good token here; its holder is just not there.
            assert answer.status in (401, 403, 404), case["name"]
            assert "participant_token" not in answer.text


async def test_a_token_for_a_room_that_does_not_exist_is_refused_in_time_and_creates_nothing(
    backend: RunningBackend, room: str
) -> None:
    answer = await start(backend, room, forge_for(backend, room).authorization(GOOD))
    assert answer.status == 404
    assert answer.took_s < 1
    assert room not in await rooms(backend.livekit)


async def test_a_token_of_somebody_who_is_not_in_the_room_is_refused_in_time(
    backend: RunningBackend, room: str
) -> None:
    async with in_room(backend, room):
        answer = await start(backend, room, forge_for(backend, room, "mallory").authorization(GOOD))
    assert answer.status == 403
    assert answer.took_s < 1


async def test_the_token_of_somebody_who_was_removed_is_refused_from_then_on(
    backend: RunningBackend, room: str
) -> None:
    async with in_room(backend, room), joined(backend.livekit, room, "mallory") as mallory:
        authorization = forge_for(backend, room, "mallory").authorization(GOOD)
        assert (await start(backend, room, authorization)).status == 201
        gone = asyncio.Event()
        mallory.on("disconnected", lambda *_: gone.set())
        async with backend.livekit.api() as lkapi:
            await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="mallory"))
        await asyncio.wait_for(gone.wait(), 5)
        answer = await start(backend, room, authorization)
    assert answer.status == 403
    assert answer.took_s < 1


async def test_a_token_outlives_its_room_in_vain(backend: RunningBackend, room: str) -> None:
    authorization = forge_for(backend, room).authorization(GOOD)
    async with in_room(backend, room):
        assert (await start(backend, room, authorization)).status == 201
    answer = await start(backend, room, authorization)
    assert answer.status in (403, 404)
    assert answer.took_s < 1
    assert room not in await rooms(backend.livekit)


async def test_no_address_in_a_token_header_is_ever_asked_for(backend: RunningBackend, room: str) -> None:
    visits = asyncio.Queue[str]()

    async def visited(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.put_nowait("visited")
        writer.close()

    canary = await asyncio.start_server(visited, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{canary.sockets[0].getsockname()[1]}/"
    async with canary, in_room(backend, room):
        for name in ("jku", "x5u", "kid", "iss", "jwks_uri", "cty"):
            answer = await start(
                backend, room, forge_for(backend, room).authorization({"header": {name: url}})
            )
            assert answer.status in (200, 201, 401)
        claim = forge_for(backend, room).authorization({"set": {"iss": url}})
        assert (await start(backend, room, claim)).status == 401
        assert visits.empty()
        # The canary can sing.
        _, writer = await asyncio.open_connection(*canary.sockets[0].getsockname())
        assert await asyncio.wait_for(visits.get(), 5) == "visited"
        writer.close()
        await writer.wait_closed()
