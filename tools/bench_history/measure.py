"""Pages, polls, searches and exports over HTTP, one after another, and the same rows by plain SQL."""

import http.client
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg

from tools.bench_history.load import NEEDLE_EVERY, Loaded, Room, needle, words

PAGE = 200
FORMATS = ("txt", "vtt", "srt", "json")
CHUNK_BYTES = 64 * 1024
SQL_PAGE = """
SELECT segment_id, sequence, revision, change, text, speaker_identity, speaker_name, language, start_ms, end_ms, engine,
    is_corrected, track_sid
FROM transcripts_line WHERE meeting_id = %s AND change > %s ORDER BY change LIMIT %s
"""
SQL_SEARCH = """
SELECT segment_id, sequence, revision, change, text FROM transcripts_line
WHERE meeting_id = %s AND words @@ plainto_tsquery('simple', %s) ORDER BY change LIMIT %s
"""
SQL_ALL = """
SELECT sequence, start_ms, end_ms, speaker_identity, speaker_name, language, text
FROM transcripts_line WHERE meeting_id = %s ORDER BY sequence, start_ms
"""
FORGET_LIMITS = "DELETE FROM throttles_count"
CLEAR_PEAK = "5"


class Client:
    """One connection that stays, until `anew`: the server ends one that is not used for some seconds."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def anew(self) -> None:
        self._connection.close()

    def get(self, path: str, authorization: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        self._connection.request("GET", path, headers={"Authorization": authorization, **headers})
        answer = self._connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def read_through(self, path: str, authorization: str) -> tuple[int, int]:
        """Status and bytes, none of them kept."""
        self._connection.request("GET", path, headers={"Authorization": authorization})
        answer, size = self._connection.getresponse(), 0
        while chunk := answer.read(CHUNK_BYTES):
            size += len(chunk)
        return answer.status, size


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Whose client, and of which rooms; `tokens` by room."""

    client: Client
    rooms: Sequence[Room]
    tokens: dict[str, str]
    account: str
    database_url: str


def reads(reading: Reading, loaded: Loaded, *, times: int, chance: random.Random) -> dict[str, list[float]]:
    """Milliseconds of each."""
    vocabulary = words()
    found: dict[str, list[float]] = {}

    def page(room: Room) -> None:
        since = chance.randrange(max(1, loaded.segments - PAGE))
        _got(reading, room, f"?since={since}&limit={PAGE}")

    def search(room: Room) -> None:
        _got(reading, room, f"?q={quote(chance.choice(vocabulary))}")

    def rare(room: Room) -> None:
        number = NEEDLE_EVERY * chance.randint(1, max(1, loaded.segments // NEEDLE_EVERY))
        _got(reading, room, f"?q={needle(number)}")

    def transcripts(_: Room) -> None:
        status, body, _headers = reading.client.get("/api/v1.0/transcripts/", reading.account)
        if status != 200:
            raise RuntimeError(f"transcripts/ was answered {status}: {body[:200]!r}")

    for name, ask in (
        ("page", page),
        ("search of a common word", search),
        ("search of a rare word", rare),
        ("list of transcripts", transcripts),
    ):
        found[name] = _timed(ask, reading.rooms, times=times)
    found["poll with ETag"] = _timed(_poller(reading, loaded), reading.rooms, times=times)
    with psycopg.connect(reading.database_url) as connection:
        found["page by plain SQL"] = _timed(
            lambda room: connection.execute(
                SQL_PAGE, (room.meeting, chance.randrange(max(1, loaded.segments - PAGE)), PAGE)
            ).fetchall(),
            reading.rooms,
            times=times,
        )
        found["search by plain SQL"] = _timed(
            lambda room: connection.execute(
                SQL_SEARCH, (room.meeting, chance.choice(vocabulary), PAGE)
            ).fetchall(),
            reading.rooms,
            times=times,
        )
    return found


def exports(reading: Reading, *, pid: int, times: int) -> dict[str, dict[str, list[float]]]:
    """Of each format: MB/s of each try, and how far (MB) the backend's peak was above what it used before all."""
    found: dict[str, dict[str, list[float]]] = {}
    before_mb = _forget_peak(pid)
    with psycopg.connect(reading.database_url, autocommit=True) as connection:
        for format in FORMATS:
            speeds, grown = [], []
            reading.client.anew()
            for number in range(times + 1):
                connection.execute(FORGET_LIMITS)
                room = reading.rooms[number % len(reading.rooms)]
                path = f"/api/v1.0/transcripts/{room.meeting}/export/?format={format}"
                _forget_peak(pid)
                began = time.perf_counter()
                status, size = reading.client.read_through(path, reading.account)
                took_s = time.perf_counter() - began
                if status != 200:
                    raise RuntimeError(f"an export as {format} was answered {status}")
                grown.append(_peak_mb(pid) - before_mb)
                if number:  # the first loads what is loaded at the first request
                    speeds.append(size / 1e6 / took_s)
            found[format] = {"mb_per_s": speeds, "grown_mb": grown, "mb": [size / 1e6]}
        speeds = []
        for number in range(times):
            room = reading.rooms[number % len(reading.rooms)]
            began = time.perf_counter()
            rows = connection.execute(SQL_ALL, (room.meeting,)).fetchall()
            took_s = time.perf_counter() - began
            speeds.append(sum(len(str(value)) for row in rows for value in row) / 1e6 / took_s)
        found["plain SQL"] = {"mb_per_s": speeds, "grown_mb": [], "mb": []}
    return found


def _timed(ask: Callable[[Room], object], rooms: Sequence[Room], *, times: int) -> list[float]:
    took = []
    for number in range(times + len(rooms)):
        began = time.perf_counter()
        ask(rooms[number % len(rooms)])
        if number >= len(rooms):  # once in each room to warm up
            took.append(1000 * (time.perf_counter() - began))
    return took


def _got(reading: Reading, room: Room, query: str) -> None:
    path = f"/api/v1.0/rooms/{room.name}/segments/{query}"
    status, body, _ = reading.client.get(path, reading.tokens[room.name])
    if status != 200:
        raise RuntimeError(f"{path} was answered {status}: {body[:200]!r}")
    if "since" in query and len(json.loads(body)["segments"]) != PAGE:
        raise RuntimeError("a page is not full")


def _poller(reading: Reading, loaded: Loaded) -> Callable[[Room], None]:
    """Asks for what has changed since it last asked: nothing."""
    tags: dict[str, str] = {}

    def poll(room: Room) -> None:
        path = f"/api/v1.0/rooms/{room.name}/segments/?since={loaded.segments}"
        known = {"If-None-Match": tags[room.name]} if room.name in tags else {}
        status, _, headers = reading.client.get(path, reading.tokens[room.name], **known)
        if status != (304 if known else 200):
            raise RuntimeError(f"a poll was answered {status}")
        tags[room.name] = headers.get("etag", tags.get(room.name, ""))

    return poll


def _forget_peak(pid: int) -> float:
    """Memory in use now; what it was at most is counted from here."""
    Path(f"/proc/{pid}/clear_refs").write_text(CLEAR_PEAK)
    return _status_mb(pid, "VmRSS")


def _peak_mb(pid: int) -> float:
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6
