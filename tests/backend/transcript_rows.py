"""Meetings, people and lines as the services would have made them; many of them fast."""

import datetime
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from backend.leases.models import Session
from backend.meetings.models import KeptPeriod, Meeting, Person
from backend.meetings.services import locked, person_of, take_changes
from backend.transcripts.models import Line
from contract.status import State

BEGAN_MS = 1_700_000_000_000
"""When the first of many lines begins; UTC epoch."""
APART_MS = 3_000

WORDS = "and so we went on to the next point of the agenda nobody had said what it would cost or who pays for that"


def made_meeting(room: str = "r", *, is_kept: bool = True, **of: Any) -> Meeting:
    """Its life of the room is named after it unless `room_sid` says otherwise."""
    now = timezone.now()
    meeting = Meeting.objects.create(
        **{
            "room": room,
            "room_sid": f"RM_{uuid.uuid4().hex[:12]}",
            "kept_since": now if is_kept else None,
            **of,
        }
    )
    if is_kept:
        KeptPeriod.objects.create(meeting=meeting, since=now - datetime.timedelta(days=365))
    return meeting


def made_session(meeting: Meeting, **of: Any) -> Session:
    """Its subtitles, with an agent."""
    return Session.objects.create(
        **{
            "room": meeting.room,
            "room_sid": meeting.room_sid,
            "meeting": meeting,
            "language": "en",
            "engine": "embedded",
            "state": State.LIVE,
            "worker": "worker-1",
            **of,
        }
    )


def made_line(meeting: Meeting, text: str = "one two three", *, speaker: str = "ada", **of: Any) -> Line:
    """The next change of the meeting; said a second ago unless told otherwise."""
    now_ms = int(timezone.now().timestamp() * 1000)
    with locked(meeting) as held:
        person, change = person_of(held, speaker), take_changes(held)
        return Line.objects.create(
            **{
                "meeting": held,
                "segment_id": uuid.uuid4(),
                "change": change,
                "revision": 0,
                "sequence": change,
                "start_ms": now_ms - 2_000,
                "end_ms": now_ms - 1_000,
                "person": person,
                "speaker_identity": speaker,
                "speaker_name": speaker.title(),
                "language": "en",
                "engine": "embedded",
                "track_sid": f"TR_{speaker}",
                "text": text,
                **of,
            }
        )


def made_lines(
    meeting: Meeting,
    count: int,
    *,
    speakers: Sequence[str] = ("ada", "bob", "eve"),
    words: int = 12,
    **of: Any,
) -> list[Line]:
    """Said by turns, one after another from BEGAN_MS on, each of other words."""
    people = [Person.objects.get_or_create(meeting=meeting, identity=speaker)[0] for speaker in speakers]
    with locked(meeting) as held:
        first = take_changes(held, count)
        lines = [
            _line(held, people[n % len(people)], change=first + n, text=_said(first + n, words), **of)
            for n in range(count)
        ]
        Line.objects.bulk_create(lines, batch_size=1_000)
    return lines


def _line(meeting: Meeting, person: Person, *, change: int, **of: Any) -> Line:
    start_ms = BEGAN_MS + change * APART_MS
    return Line(
        **{
            "meeting": meeting,
            "segment_id": uuid.uuid4(),
            "change": change,
            "revision": 0,
            "sequence": change,
            "start_ms": start_ms,
            "end_ms": start_ms + APART_MS,
            "person": person,
            "speaker_identity": person.identity,
            "speaker_name": person.identity.title(),
            "language": "en",
            "engine": "embedded",
            "track_sid": f"TR_{person.identity}",
            **of,
        }
    )


def _said(number: int, words: int) -> str:
    """`number` is in it, so that a search can find this line alone."""
    known = WORDS.split()
    begin = number % len(known)
    picked = itertools.islice(itertools.cycle(known), begin, begin + words)
    return f"{' '.join(picked)} number{number}"
