"""Names and bodies nobody should send, against the backend as it is run and a real LiveKit."""

import gzip
import itertools
import json
import re
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from livekit import api

from backend.errors import AppError
from backend.tokens.claims import verify_token
from tests.backend.conftest import People
from tests.backend.running_backend import Answer, RunningBackend
from tests.support.livekit import LiveKitServer

INTERNALS = re.compile(r"Traceback|Exception|Error\(|File \"|sqlite|psycopg|DETAIL:|livekit\.")

# What goes into the path, as it goes there.
NOT_A_ROOM = {
    "empty": "",
    "dot": ".",
    "two dots": "..",
    "encoded dots": "%2e%2e",
    "encoded slash": "%2f",
    "slash within": "a%2fb",
    "traversal": "..%2f..%2f..%2fetc%2fpasswd",
    "backslash": "..%5c..%5cwindows",
    "NUL": "%00",
    "room and NUL": "room%00",
    "newline": "a%0ab",
    "carriage return and a header": "a%0d%0aX-Injected:%20yes",
    "space": "%20",
    "257 characters": "a" * 257,
    "20 kB": "a" * 20_000,
    "emoji": urllib.parse.quote("🎉"),
    "RTL": urllib.parse.quote("غرفة"),
    "RTL override": urllib.parse.quote("\u202emoor"),
    "combining marks": urllib.parse.quote("e" + "\u0301" * 50),
    "not UTF-8": "%ff%fe",
    "overlong slash": "%c0%af",
    "surrogate": "%ed%a0%80",
    "SQL": urllib.parse.quote("'; DROP TABLE leases_session; --", safe=""),
    "SQL that is true": urllib.parse.quote("x' OR '1'='1", safe=""),
    "template": urllib.parse.quote("{{7*7}}${7*7}<%= 7*7 %>", safe=""),
    "format": urllib.parse.quote("%s%n{0.__class__}", safe=""),
    "markup": urllib.parse.quote("<script>alert(1)</script>", safe=""),
    "lone percent": "%",
    "percent of no hex": "%zz",
    "double encoding": "%252e%252e",
    "semicolon": "a;b=c",
    "star": "*",
}

NOT_JSON = {
    "nothing closed": b'{"language": "en"',
    "words": b"start, please",
    "single quotes": b"{'language': 'en'}",
    "a tail": b'{"language": "en"} x',
    "a comma too many": b'{"language": "en",}',
    "NaN": b'{"language": NaN}',
    "Infinity": b'{"language": -Infinity}',
    "no UTF-8": b'{"language": "\xff\xfe"}',
    "UTF-16 without its mark": '{"language": "é"}'.encode("utf-16-be")[1:],
    "NUL bytes": b"\x00" * 64,
    "lists 10000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects 10000 deep": b'{"language":' * 10_000 + b"1" + b"}" * 10_000,
    "language 10000 deep": b'{"language": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a number of 5000 digits": b'{"language": ' + b"9" * 5000 + b"}",
    "600 KB": b'{"language": "' + b"x" * 600_000 + b'"}',
    "600 KB of spaces": b" " * 600_000 + b"{}",
    "65 KiB of spaces": b" " * 65 * 1024 + b"{}",
    "gzip": gzip.compress(b'{"language": "en"}'),
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
}

NOT_A_START = {
    "a list": [],
    "a string": "en",
    "a number": 5,
    "true": True,
    "null": None,
    "language null": {"language": None},
    "language empty": {"language": ""},
    "language spaces": {"language": "   "},
    "language a number": {"language": 5},
    "language true": {"language": True},
    "language a list": {"language": ["en"]},
    "language an object": {"language": {"en": 1}},
    "language unknown": {"language": "tlh"},
    "language with markup": {"language": "xx-YY-<script>alert(1)</script>"},
    "language a path": {"language": "../../etc/passwd"},
    "language with NUL": {"language": "en\u0000"},
    "language with a newline": {"language": "en\nforged line"},
    "language with an override": {"language": "\u202een"},
    "language a lone surrogate": {"language": "\ud800"},
    "language of 10000 characters": {"language": "e" * 10_000},
    "language SQL": {"language": "en'; DROP TABLE leases_session; --"},
}

NOT_A_SWITCH: dict[str, object] = {
    "a list": [True],
    "true": True,
    "null": None,
    "nothing": {},
    "keep null": {"keep": None},
    "keep 1": {"keep": 1},
    "keep a word": {"keep": "true"},
    "keep empty": {"keep": ""},
    "keep a list": {"keep": [True]},
    "keep an object": {"keep": {}},
    "another name": {"Keep": True},
}

NOT_A_RIGHT: dict[str, object] = {
    "a list": [{"captions": False}],
    "false": False,
    "nothing": {},
    "captions null": {"captions": None},
    "captions 0": {"captions": 0},
    "captions a word": {"captions": "false"},
    "captions a list": {"captions": []},
    "name null": {"name": None},
    "name empty": {"name": ""},
    "name true": {"name": True},
    "name of one's own": {"name": "Ada"},
    "name in capitals": {"name": "HIDDEN"},
    "name a list": {"name": ["hidden"]},
    "name an object": {"name": {}},
    "name a lone surrogate": {"name": "\ud800"},
    "name with NUL": {"name": "hidden\u0000"},
    "somebody else's": {"identity": "eve"},
    "one right and one wrong": {"captions": False, "name": "Ada"},
}

# Not refused: Meet's own frontend, and newer ones, may say more than we know.
HARMLESS = {
    "__proto__": b'{"__proto__": {"language": "fr"}, "constructor": 1}',
    "unknown keys": b'{"engine": "expensive", "agents": [], "room": "other", "generation": 99}',
    "1e400 where nobody looks": b'{"unknown": 1e400}',
    "spaces around the language": b'{"language": " en "}',
}


@pytest.fixture(scope="module")
def backend(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBackend]:
    with RunningBackend(tmp_path_factory.mktemp("backend"), livekit_server) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(livekit_server: LiveKitServer) -> Iterator[People]:
    people = People(livekit_server)
    yield people
    people.close()


@pytest.fixture(scope="module")
def room() -> str:
    """A room with people in it, where nothing is ever started."""
    return f"room-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def members(backend: RunningBackend, crowd: People, room: str) -> Iterator[str]:
    """Tokens of people in the room, by turns: what one person may send in a minute is limited."""
    identities = [f"member-{i}" for i in range(12)]
    for identity in identities:
        crowd.join(room, identity)
    return itertools.cycle([backend.livekit.token(room, identity) for identity in identities])


@pytest.fixture
def ada(members: Iterator[str]) -> str:
    return next(members)


def rooms(backend: RunningBackend, crowd: People) -> set[str]:
    async def listed() -> set[str]:
        async with backend.livekit.api() as lkapi:
            return {room.name for room in (await lkapi.room.list_rooms(api.ListRoomsRequest())).rooms}

    return crowd.do(listed())


def call(
    backend: RunningBackend,
    method: str,
    path: str,
    token: str | None,
    body: bytes | None = b"{}",
    **more: Any,
) -> Answer:
    authorization = None if token is None else [f"Bearer {token}"]
    return backend.request(method, f"/api/v1.0/{path}", authorization=authorization, body=body, **more)


def assert_refused_well(answer: Answer, *statuses: int) -> None:
    assert answer.status in statuses, answer.text
    assert answer.took_s < 1
    assert not INTERNALS.search(answer.text)
    if answer.headers.get("content-type", "").startswith("application/json"):
        assert set(answer.json()) == {"code", "detail"}


@pytest.mark.parametrize("name", NOT_A_ROOM)
def test_a_name_in_the_path_that_is_no_room_of_ours_is_refused_and_creates_none(
    backend: RunningBackend, crowd: People, ada: str, name: str
) -> None:
    before, log_start = rooms(backend, crowd), len(backend.log())
    own_token = backend.livekit.token(urllib.parse.unquote(NOT_A_ROOM[name]) or "x", "ada")
    for token in (ada, own_token):
        for method, path in [
            ("GET", "subtitles/"),
            ("POST", "subtitles/"),
            ("PATCH", "subtitles/"),
            ("DELETE", "subtitles/"),
            ("POST", "start-subtitle/"),
            ("POST", "stop-subtitle/"),
            ("PUT", "transcript/"),
            ("PUT", "me/"),
            ("GET", "me/"),
            ("GET", "segments/"),
            ("POST", "segments/"),
            ("PATCH", f"segments/{uuid.uuid4()}/"),
        ]:
            body = b'{"language": "en", "keep": true, "captions": false, "text": "x"}'
            answer = call(backend, method, f"rooms/{NOT_A_ROOM[name]}/{path}", token, body)
            assert_refused_well(answer, 400, 401, 403, 404)
            assert "x-injected" not in answer.headers
    assert rooms(backend, crowd) <= before
    log = backend.log()[log_start:]
    assert not INTERNALS.search(log)
    assert ada not in log


def test_a_name_of_a_megabyte_is_refused_in_time(backend: RunningBackend, ada: str) -> None:
    answer = call(backend, "POST", f"rooms/{'a' * 1_000_000}/subtitles/", ada)
    assert answer.status in (0, 400, 403, 404, 414, 431)
    assert answer.took_s < 1


@pytest.mark.parametrize(
    "room",
    [
        "🎉 fête",
        "غرفة الاجتماع",
        "会議室",
        "a b+c&d=e?f#g",
        "'; DROP TABLE leases_session; --",
        "{{7*7}}",
        "a" * 256,
    ],
)
def test_a_room_of_any_name_that_people_can_be_in_gets_its_subtitles(
    backend: RunningBackend, crowd: People, room: str
) -> None:
    crowd.join(room, "ada")
    target = f"rooms/{urllib.parse.quote(room, safe='')}/subtitles/"
    token = backend.livekit.token(room, "ada")
    started, read = call(backend, "POST", target, token), call(backend, "GET", target, token)
    assert (started.status, started.json()["room"]) == (201, room)
    assert (read.status, read.json()["room"]) == (200, room)
    assert call(backend, "DELETE", target, token).status == 200


def test_whether_another_room_exists_shows_in_no_answer(
    backend: RunningBackend, crowd: People, ada: str
) -> None:
    crowd.join("somebody-elses", "eve")
    for method, path, body in [
        ("POST", "subtitles/", b"{}"),
        ("PUT", "transcript/", b'{"keep": true}'),
        ("PUT", "me/", b'{"captions": false}'),
        ("GET", "me/", None),
        ("GET", "segments/", None),
        ("PATCH", f"segments/{uuid.uuid4()}/", b'{"text": "x"}'),
    ]:
        there = call(backend, method, f"rooms/somebody-elses/{path}", ada, body)
        not_there = call(backend, method, f"rooms/nobodys/{path}", ada, body)
        assert (there.status, there.text) == (not_there.status, not_there.text) == (403, there.text)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "subtitles/"),
        ("POST", "start-subtitle/"),
        ("PATCH", "subtitles/"),
        ("POST", "segments/"),
        ("PATCH", f"segments/{uuid.UUID(int=1)}/"),
    ],
    ids=str,
)
@pytest.mark.parametrize("body", [*NOT_JSON, *NOT_A_START])
def test_a_body_that_is_no_start_is_400_and_starts_nothing(
    backend: RunningBackend, room: str, ada: str, method: str, path: str, body: str
) -> None:
    raw = NOT_JSON[body] if body in NOT_JSON else json.dumps(NOT_A_START[body]).encode()
    log_start = len(backend.log())
    answer = call(backend, method, f"rooms/{room}/{path}", ada, raw)
    assert_refused_well(answer, 400)
    assert call(backend, "GET", f"rooms/{room}/subtitles/", ada).json()["state"] == "idle"
    log = backend.log()[log_start:]
    assert not INTERNALS.search(log)
    assert "forged line" not in log


NOT_KNOWN = [(path, name) for path in ("transcript/", "me/") for name in NOT_JSON]
NOT_KNOWN += [("transcript/", name) for name in NOT_A_SWITCH] + [("me/", name) for name in NOT_A_RIGHT]


@pytest.mark.parametrize(("path", "body"), NOT_KNOWN)
def test_a_body_that_asks_for_nothing_we_know_is_400_and_changes_nothing(
    backend: RunningBackend, room: str, ada: str, path: str, body: str
) -> None:
    bodies = NOT_A_SWITCH if path == "transcript/" else NOT_A_RIGHT
    raw = NOT_JSON[body] if body in NOT_JSON else json.dumps(bodies[body]).encode()
    log_start = len(backend.log())

    assert_refused_well(call(backend, "PUT", f"rooms/{room}/{path}", ada, raw), 400)

    rights = call(backend, "GET", f"rooms/{room}/me/", ada).json()
    assert rights == {"captions": True, "name": "shown", "pseudonym": None, "may_keep": False}
    assert call(backend, "GET", f"rooms/{room}/subtitles/", ada).json()["transcript"] == "off"
    assert not INTERNALS.search(backend.log()[log_start:])


@pytest.mark.parametrize("body", [b"", b"{}", HARMLESS["__proto__"], HARMLESS["unknown keys"]])
def test_a_change_that_does_not_say_to_what_is_400(
    backend: RunningBackend, room: str, ada: str, body: bytes
) -> None:
    assert_refused_well(call(backend, "PATCH", f"rooms/{room}/subtitles/", ada, body), 400)


# As they go into the address, and whether they are a page all the same.
QUERIES = {
    "since empty": ("since=", True),
    "since a word": ("since=now", False),
    "since before the first": ("since=-1", False),
    "since a fraction": ("since=1.5", False),
    "since beyond a browser's numbers": ("since=9007199254740992", False),
    "since of 5000 digits": ("since=" + "9" * 5000, False),
    "since 1e400": ("since=1e400", False),
    "since NaN": ("since=NaN", False),
    "since with NUL": ("since=1%00", False),
    "since far away": ("since=9007199254740991", True),
    "limit 0": ("limit=0", False),
    "limit below 0": ("limit=-5", False),
    "limit 1e9": ("limit=1000000000", False),
    "limit and one": ("limit=1001", False),
    "limit": ("limit=1000", True),
    "a search of quotes": ("q=%22%22%22a%27%27%22", True),
    "a search of operators": ("q=a%20AND%20NOT%20%28b%20OR%20NEAR%29%20%26%7C%21%3A%2A", True),
    "a search of a column": ("q=text%3Aa%20-b%20%5Ec", True),
    "SQL": ("q=a%27%29%3B%20DROP%20TABLE%20transcripts_line%3B%20--", True),
    "a search in Chinese": ("q=%E4%BC%9A%E8%AE%AE", True),
    "a search not in UTF-8": ("q=%ff%fea", True),
    "a search of punctuation": ("q=%22%27%2A%26%E2%80%A6", False),
    "a search with NUL": ("q=a%00b", False),
    "a search of 10000 characters": ("q=" + "a" * 10_000, False),
    "a search of 200 words": ("q=" + "a+" * 100, True),
    "2000 parameters": ("&".join(f"p{n}=1" for n in range(2000)), None),
    "unknown": ("order=random&since__gt=1&__proto__=1", True),
    "twice": ("since=x&since=1", True),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_no_such_shape_is_400_and_an_odd_one_a_page(
    backend: RunningBackend, room: str, ada: str, name: str
) -> None:
    query, is_page = QUERIES[name]
    log_start = len(backend.log())
    answer = call(backend, "GET", f"rooms/{room}/segments/?{query}", ada, None)
    if is_page:
        assert (answer.status, answer.json()["segments"]) == (200, [])
        assert answer.took_s < 1
    else:
        assert_refused_well(answer, 400)
        assert is_page is None or answer.json()["code"] == "invalid_query"
    assert not INTERNALS.search(backend.log()[log_start:])


@pytest.mark.parametrize(
    "segment", ["none", "%00", "..%2f..", "a" * 5_000, "%ff", str(uuid.UUID(int=0)), "1"]
)
def test_what_is_no_segment_of_the_room_is_answered_alike(
    backend: RunningBackend, crowd: People, room: str, segment: str
) -> None:
    admin = backend.livekit.token(room, "member-0", room_admin=True)
    answer = call(backend, "PATCH", f"rooms/{room}/segments/{segment}/", admin, b'{"text": "x"}')
    assert_refused_well(answer, 404)
    assert "%2f" in segment or answer.json()["code"] == "segment_absent"


@pytest.mark.parametrize("body", HARMLESS)
def test_what_we_do_not_know_in_a_body_changes_nothing(
    backend: RunningBackend, crowd: People, room_name: str, body: str
) -> None:
    crowd.join(room_name, "ada")
    token = backend.livekit.token(room_name, "ada")
    answer = call(backend, "POST", f"rooms/{room_name}/subtitles/", token, HARMLESS[body])
    assert answer.status == 201
    state = answer.json()
    assert (state["room"], state["language"], state["engine"]) == (room_name, "en", "embedded")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/json; charset=utf-7",
        "application/json; charset=no-such",
        "a/b/c; ;;=",
        "",
    ],
)
def test_another_content_type_is_an_answer_too(
    backend: RunningBackend, room: str, ada: str, content_type: str
) -> None:
    more = [("Content-Type", content_type)]
    answer = call(backend, "POST", f"rooms/{room}/subtitles/", ada, b'{"language": "fr"}', headers=more)
    assert_refused_well(answer, 400, 415)


@pytest.mark.parametrize("method", ["PUT", "TRACE", "CONNECT", "FOO", "PROPFIND", "get", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "config/",
        "connection-details/",
        "rooms/{room}/subtitles/",
        "rooms/{room}/segments/",
        "transcripts/",
        "schema/",
    ],
)
def test_a_method_nobody_meant_is_an_answer_too(
    backend: RunningBackend, room: str, ada: str, method: str, path: str
) -> None:
    answer = call(backend, method, path.format(room=room), ada)
    assert 200 <= answer.status < 500
    assert answer.took_s < 1
    assert not INTERNALS.search(answer.text)


@pytest.mark.parametrize(
    "headers",
    [
        [("Accept", "text/html")],
        [("Accept", "\x01;;q=nan")],
        [("Accept-Language", "x" * 5000)],
        [("Cookie", "sessionid=" + "'\";--" * 200)],
        [("X-Forwarded-For", "a" * 5000), ("X-Forwarded-Proto", "gopher")],
        [("Origin", "null")],
        [("Range", "bytes=-1")],
        [("Content-Encoding", "gzip")],
        [("Expect", "200-perhaps")],
    ],
    ids=lambda headers: headers[0][0] if isinstance(headers, list) else None,
)
def test_an_odd_header_is_an_answer_too(
    backend: RunningBackend, room: str, ada: str, headers: list[tuple[str, str]]
) -> None:
    answer = call(backend, "GET", f"rooms/{room}/subtitles/", ada, None, headers=headers)
    assert 200 <= answer.status < 500
    assert answer.took_s < 1
    assert not INTERNALS.search(answer.text)


DETAILS: dict[str, dict[str, Any]] = {
    "room empty": {"room_name": ""},
    "room a list": {"room_name": ["r"]},
    "room null": {"room_name": None},
    "room of 257 bytes": {"room_name": "a" * 257},
    "room of 129 two-byte characters": {"room_name": "é" * 129},
    "room with NUL": {"room_name": "a\u0000"},
    "room with an override": {"room_name": "\u202ea"},
    "room a lone surrogate": {"room_name": "\ud800"},
    "room *": {"room_name": "*"},
    "identity of 257 bytes": {"room_name": "r", "participant_identity": "a" * 257},
    "identity with a newline": {"room_name": "r", "participant_identity": "a\nforged line"},
    "identity a lone surrogate": {"room_name": "r", "participant_identity": "\ud800"},
    "identity reserved": {"room_name": "r", "participant_identity": "subtitles-1-1"},
    "name a list": {"room_name": "r", "participant_name": ["Ada"]},
    "name a lone surrogate": {"room_name": "r", "participant_name": "\ud800"},
    "name with NUL": {"room_name": "r", "participant_name": "A\u0000"},
    "name of 10000": {"room_name": "r", "participant_name": "A" * 10_000},
    "metadata of 512 KiB and one": {"room_name": "r", "participant_metadata": "m" * (512 * 1024 + 1)},
    "metadata an object": {"room_name": "r", "participant_metadata": {"a": 1}},
    "attributes of 64 KiB": {"room_name": "r", "participant_attributes": {"a": "x" * 65_536}},
    "attributes": {"room_name": "r", "participant_attributes": {"a": "b"}},
    "attributes a list": {"room_name": "r", "participant_attributes": [1]},
    "an agent": {"room_name": "r", "room_config": {"agents": [{"agent_name": "roomscribe-subtitles"}]}},
    "room_config a string": {"room_name": "r", "room_config": "x"},
}


@pytest.mark.parametrize("body", [*NOT_JSON, *DETAILS])
def test_a_body_that_asks_for_no_place_in_a_room_gets_none(
    backend: RunningBackend, crowd: People, body: str
) -> None:
    raw = NOT_JSON[body] if body in NOT_JSON else json.dumps(DETAILS[body]).encode()
    before = rooms(backend, crowd)
    answer = call(backend, "POST", "connection-details/", None, raw)
    assert_refused_well(answer, 400)
    assert "participant_token" not in answer.text
    assert rooms(backend, crowd) <= before


@pytest.mark.parametrize(
    "wanted",
    [
        {"room_name": "a" * 256, "participant_identity": "b" * 256, "participant_name": "c" * 200},
        {"room_name": "é" * 128, "participant_name": "名" * 80},
        {"room_name": "r", "participant_metadata": "m" * 4096},
        {"room_name": "r", "participant_metadata": "名" * 4096},
        {"room_name": "r", "participant_metadata": '"\\\u0007' * 1365},
        {"room_name": "r", "participant_name": "👩🏽‍🦱\u200f"},
        {"room_name": "a/b"},
        {"room_name": ".."},
        {},
    ],
    ids=lambda wanted: json.dumps(wanted)[:40],
)
def test_a_token_that_is_handed_out_is_one_this_api_accepts(
    backend: RunningBackend, wanted: dict[str, str]
) -> None:
    answer = call(backend, "POST", "connection-details/", None, json.dumps(wanted).encode())
    assert answer.status in (201, 400)
    if answer.status == 201:
        keys = {backend.livekit.api_key: backend.livekit.api_secret}
        try:
            claims = verify_token(answer.json()["participant_token"], keys=keys, now_s=time.time())
        except AppError as error:
            pytest.fail(f"refused: {error.args}")
        assert claims.room == answer.json()["room_name"]
