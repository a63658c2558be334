"""The transcript of a meeting in the laboratory, against the finals that its viewer saw."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from contract.segments import Segment
from tools.chaos.lab import Answer, Lab
from tools.chaos.meeting import Meeting

STORED_WITHIN_S = 30.0
"""Once all is well again: what a worker that was killed had written down is handed in by the next one."""
LINES = """
SELECT segment_id, revision, sequence, speaker_identity, text
FROM transcripts_line JOIN meetings_meeting ON meeting_id = meetings_meeting.id WHERE room = '{room}'
"""


@dataclass(frozen=True, kw_only=True)
class StoredLine:
    segment_id: str
    revision: int
    sequence: int
    speaker_identity: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """How finals that were seen and lines that are stored compare."""

    seen: int = 0
    lost: int = 0
    doubled: int = 0

    @property
    def is_whole(self) -> bool:
        return self.seen > 0 and not self.lost and not self.doubled

    def __add__(self, other: "Record") -> "Record":
        return Record(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def __str__(self) -> str:
        return f"transcript: {self.lost} lost and {self.doubled} doubled of {self.seen} finals seen"


def recorded(seen: Iterable[Segment], stored: Iterable[StoredLine]) -> Record:
    """A line that nobody saw is none too many: whoever had written it down was killed before showing it."""
    newest: dict[str, Segment] = {}
    for final in sorted(seen, key=lambda final: final.revision):
        newest[final.id] = final
    lines = list(stored)
    of_id = {line.segment_id: line for line in lines}
    places = Counter((line.speaker_identity, line.sequence) for line in lines)
    return Record(
        seen=len(newest),
        lost=sum(not _has(of_id.get(id), final) for id, final in newest.items()),
        doubled=len(lines) - len(of_id) + sum(count - 1 for count in places.values()),
    )


def _has(line: StoredLine | None, final: Segment) -> bool:
    return line is not None and (
        line.revision > final.revision or (line.revision, line.text) == (final.revision, final.text)
    )


async def keep(meeting: Meeting) -> None:
    """From now on, by somebody who may. Raises RuntimeError."""
    person = meeting.speakers[0].identity
    token = meeting.lab.livekit.token(meeting.room, person, room_admin=True)
    answer: Answer = await meeting.lab.request("PUT", transcript_path(meeting.room), token, {"keep": True})
    if not answer.is_2xx:
        raise RuntimeError(f"keeping a transcript was answered {answer.status}: {answer.body}")


async def settled(*meetings: Meeting, timeout_s: float = STORED_WITHIN_S) -> Record:
    """Of all of them, once nothing is missing, or late; nobody talks any more."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = sum([await asyncio.to_thread(record_of, meeting) for meeting in meetings], Record())
        if not found.lost or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)


def record_of(meeting: Meeting) -> Record:
    """Blocks."""
    seen = [c.segment for c in meeting.captions if c.segment.is_final and not c.segment.is_backlog]
    return recorded(seen, stored_lines(meeting.lab, meeting.room))


def stored_lines(lab: Lab, room: str) -> list[StoredLine]:
    return [
        StoredLine(
            segment_id=str(segment_id),
            revision=revision,
            sequence=sequence,
            speaker_identity=identity,
            text=text,
        )
        for segment_id, revision, sequence, identity, text in lab.query(LINES.format(room=room))
    ]


def transcript_path(room: str) -> str:
    return f"/api/v1.0/rooms/{room}/transcript/"
