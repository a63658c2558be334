"""A history of meetings, by COPY: plain rows, as the services would have made them."""

import datetime
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

PEOPLE = ("ada", "ben", "cyd", "dan")
LANGUAGE = "en"
APART_MS, LONG_MS = 3_000, 2_500
LOADERS = 2
WORDS_A_LINE = (4, 20)
VOCABULARY = 2_000
NEEDLE_EVERY = 97
"""Lines to one that has a word that hardly any other has."""

LINES = """
COPY transcripts_line (
    meeting_id, segment_id, change, revision, sequence, start_ms, end_ms, person_id, speaker_identity, speaker_name,
    track_sid, language, engine, is_corrected, text, generation, stored_at
) FROM STDIN
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'transcripts_line' AND indexname NOT LIKE '%_pkey'
"""
CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = 'transcripts_line'::regclass AND contype IN ('u', 'f')
"""


@dataclass(frozen=True, kw_only=True)
class Room:
    """One meeting of it; `sid` is LiveKit's where the room is there now."""

    meeting: uuid.UUID
    name: str
    sid: str
    goes_on: bool


@dataclass(frozen=True, kw_only=True)
class Loaded:
    rooms: tuple[Room, ...]
    segments: int
    lines: int
    seconds: float
    gigabytes: float
    """Of the table with its indexes."""


def loaded(url: str, rooms: Sequence[Room], *, segments: int, within_s: float) -> Loaded:
    """As many of the rooms as can be in so long; indexes are made afterwards, which comes on top."""
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        again = _without_indexes(connection)
        with ThreadPoolExecutor(LOADERS) as loaders:
            parts = [rooms[number::LOADERS] for number in range(LOADERS)]
            done = loaders.map(lambda part: _part(url, part, segments, until=began + within_s), parts)
            there = {room.meeting for part in done for room in part}
        for statement in again:
            connection.execute(statement)  # type: ignore[call-overload]
        connection.execute("VACUUM (ANALYZE) transcripts_line, meetings_meeting, meetings_person")
        [(size,)] = connection.execute("SELECT pg_total_relation_size('transcripts_line')").fetchall()
        [(lines,)] = connection.execute("SELECT count(*) FROM transcripts_line").fetchall()
    return Loaded(
        rooms=tuple(room for room in rooms if room.meeting in there),
        segments=segments,
        lines=lines,
        seconds=time.monotonic() - began,
        gigabytes=size / 1e9,
    )


def _without_indexes(connection: psycopg.Connection) -> list[str]:
    """What makes them again: foreign keys last."""
    table = "transcripts_line"
    constraints = connection.execute(CONSTRAINTS).fetchall()
    for name, _ in constraints:
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')  # type: ignore[call-overload]
    indexes = connection.execute(INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')  # type: ignore[call-overload]
    definitions = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {said}' for name, said in constraints]
    unique_first = sorted(definitions, key=lambda one: "FOREIGN KEY" in one)
    return ["SET maintenance_work_mem = '512MB'", *(said for _, said in indexes), *unique_first]


def _part(url: str, rooms: Sequence[Room], segments: int, *, until: float) -> list[Room]:
    done = []
    with psycopg.connect(url) as connection:
        for room in rooms:
            if time.monotonic() > until and done:
                break
            _load_room(connection, room, segments)
            connection.commit()
            done.append(room)
    return done


def _load_room(connection: psycopg.Connection, room: Room, segments: int) -> None:
    ended_at = datetime.datetime.now(datetime.UTC)
    began_at = ended_at - datetime.timedelta(milliseconds=APART_MS * segments)
    values = {
        "id": room.meeting,
        "room": room.name,
        "room_sid": room.sid,
        "began_at": began_at,
        "ended_at": None if room.goes_on else ended_at,
        "last_change": segments,
    }
    # Of the other columns those that may not be null have a default of Django's, which the database does not know.
    known = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'meetings_meeting' "
        "AND is_nullable = 'NO' AND column_default IS NULL"
    ).fetchall()
    values |= {name: 0 for (name,) in known if name not in values}
    columns = ", ".join(values)
    connection.execute(
        f"INSERT INTO meetings_meeting ({columns}) VALUES ({', '.join(['%s'] * len(values))})",  # type: ignore[call-overload]
        list(values.values()),
    )
    people = [_person(connection, room, identity, began_at) for identity in PEOPLE]
    with connection.cursor().copy(LINES) as copy:
        for line in _lines(room, people, segments, began_at):
            copy.write(line)


def _person(connection: psycopg.Connection, room: Room, identity: str, at: datetime.datetime) -> int:
    answer = connection.execute(
        "INSERT INTO meetings_person (meeting_id, identity, wants_captions, hides_name, first_joined_at) "
        "VALUES (%s, %s, true, false, %s) RETURNING id",
        (room.meeting, identity, at),
    ).fetchone()
    assert answer is not None
    return int(answer[0])


def _lines(room: Room, people: Sequence[int], segments: int, began_at: datetime.datetime) -> Iterator[str]:
    chance = random.Random(room.meeting.int)
    vocabulary = words()
    began_ms, stored_at = int(began_at.timestamp() * 1000), began_at.isoformat()
    for number in range(1, segments + 1):
        who = number % len(PEOPLE)
        start_ms = began_ms + APART_MS * number
        said = chance.choices(vocabulary, k=chance.randint(*WORDS_A_LINE))
        if number % NEEDLE_EVERY == 0:
            said.append(needle(number))
        yield (
            f"{room.meeting}\t{uuid.UUID(int=chance.getrandbits(128), version=4)}\t{number}\t3\t{number}\t{start_ms}\t"
            f"{start_ms + LONG_MS}\t{people[who]}\t{PEOPLE[who]}\t{PEOPLE[who].title()}\tTR_{PEOPLE[who]}\t{LANGUAGE}\t"
            f"embedded\tf\t{' '.join(said)}\t1\t{stored_at}\n"
        )


def words() -> list[str]:
    """The same each time, of two to four syllables, so that lines are about as long as those of a meeting."""
    chance = random.Random(1)
    syllables = (
        "ba",
        "co",
        "di",
        "fen",
        "gu",
        "hal",
        "ki",
        "lom",
        "mer",
        "nu",
        "po",
        "ras",
        "sti",
        "tor",
        "vé",
        "wan",
    )
    return ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(VOCABULARY)]


def needle(number: int) -> str:
    return f"needle{number}"
