"""What workers hand in: finals, each stored once, in its newest revision, if it was said while a transcript was kept.

Only this writes what agents heard, and it takes nothing from anybody but a worker: what a participant sends in the
room is never stored.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from backend.errors import InvalidBody, TranscriptAbsent
from backend.leases.models import Session
from backend.meetings.erased import erased_until_ms
from backend.meetings.keeping import Period, epoch_ms, periods_of
from backend.meetings.models import Meeting, Person
from backend.meetings.services import locked, take_changes
from backend.transcripts.models import Line, LineRevision
from contract.segments import MAX_TEXT_CHARS, Segment
from contract.transcripts import MAX_BATCH_SEGMENTS, SegmentsAnswer, SegmentsBatch

MAX_EPOCH_MS = 2**43
MAX_SEQUENCE = 2**53
"""What a browser can count to."""
MAX_REVISION = 2**30
MAX_NAME_CHARS = 256

LIMITS = {
    "text": MAX_TEXT_CHARS,
    "speaker_identity": 256,
    "track_sid": 64,
    "language": 35,
    "engine": 64,
}
"""In characters, as the columns hold."""

REVISED = ("change", "revision", "end_ms", "language", "engine", "text", "session", "generation", "stored_at")


def take_in(*, session_id: uuid.UUID, batch: SegmentsBatch) -> SegmentsAnswer:
    """Committed when it returns. Raises TranscriptAbsent or InvalidBody."""
    session = Session.objects.select_related("meeting").filter(pk=session_id).first()
    if session is None:
        raise TranscriptAbsent
    if not 1 <= batch.generation <= max(session.generation, session.standby_generation):
        raise InvalidBody
    if len(batch.segments) > MAX_BATCH_SEGMENTS:
        raise InvalidBody
    sound = [segment for segment in batch.segments if is_sound(segment)]
    intake = Intake()
    if session.meeting is not None and sound:
        try:
            intake = _stored(session.meeting, session, batch.generation, sound)
        except Meeting.DoesNotExist:  # erased since the session was read
            intake = Intake()
    done = intake.stored + intake.known
    return SegmentsAnswer(stored=intake.stored, known=intake.known, refused=len(batch.segments) - done)


def is_sound(segment: Segment) -> bool:
    """Whether it is a final that a database can hold and a reader can show."""
    return (
        segment.is_final
        and uuid_of(segment) is not None
        and 0 < segment.sequence < MAX_SEQUENCE
        and 0 <= segment.revision < MAX_REVISION
        and 0 < segment.start_ms <= segment.end_ms < MAX_EPOCH_MS
        and all(is_text(getattr(segment, name), most=most) for name, most in LIMITS.items())
        and segment.speaker_identity != ""
        and segment.text.strip() != ""
    )


def is_text(value: str, *, most: int) -> bool:
    """PostgreSQL holds neither NUL nor half of a surrogate pair."""
    if len(value) > most or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def uuid_of(segment: Segment) -> uuid.UUID | None:
    try:
        return uuid.UUID(segment.id)
    except ValueError:
        return None


@dataclass(kw_only=True)
class Intake:
    """What becomes of a batch. Decides alone; nothing is written here."""

    lines: dict[uuid.UUID, Line] = field(default_factory=dict)
    """By segment: those there are, and those that come."""
    next_change: int = 1
    new: list[Line] = field(default_factory=list)
    revised: list[Line] = field(default_factory=list)
    history: list[LineRevision] = field(default_factory=list)
    stored: int = 0
    known: int = 0

    def take(self, segment: Segment, *, person: Person, session: Session, generation: int) -> None:
        """A segment that is to be kept: an unknown one, a higher revision, or one that is there."""
        line = self.lines.get(uuid.UUID(segment.id))
        if line is None:
            line = self._begun(segment, person)
        elif line.person_id != person.pk:
            return  # an id is one speaker's
        elif segment.revision <= line.revision:
            self.known += 1
            return
        else:
            self._replace(line)
        line.revision, line.text, line.end_ms = segment.revision, segment.text, segment.end_ms
        line.language, line.engine = segment.language, segment.engine
        line.session, line.generation = session, generation
        line.change, self.next_change = self.next_change, self.next_change + 1
        self.stored += 1

    def _begun(self, segment: Segment, person: Person) -> Line:
        """With what stays the same in all its revisions."""
        identity, name = shown_speaker(person, segment)
        line = Line(
            meeting_id=person.meeting_id,
            segment_id=uuid.UUID(segment.id),
            person=person,
            sequence=segment.sequence,
            start_ms=segment.start_ms,
            track_sid=segment.track_sid,
            speaker_identity=identity,
            speaker_name=name,
        )
        self.lines[line.segment_id] = line
        self.new.append(line)
        return line

    def _replace(self, line: Line) -> None:
        self.history.append(LineRevision(line=line, revision=line.revision, text=line.text))
        if line.pk is not None and line not in self.revised:
            self.revised.append(line)


def is_kept(
    segment: Segment, *, periods: Iterable[Period], person: Person | None, erased_until_ms: int = 0
) -> bool:
    """Whether it was said while a transcript was kept that was not erased since, by somebody who wanted captions."""
    if segment.start_ms <= erased_until_ms:
        return False
    opted_out_at = person.opted_out_at if person else None
    if opted_out_at is not None and segment.end_ms > epoch_ms(opted_out_at):
        return False
    return any(period.has(start_ms=segment.start_ms, end_ms=segment.end_ms) for period in periods)


def shown_speaker(person: Person, segment: Segment) -> tuple[str, str]:
    """Identity and name. What was captioned under the pseudonym keeps it, though the name be shown again."""
    pseudonym = f"Speaker {person.number}"
    if person.hides_name or (person.number is not None and segment.speaker_name == pseudonym):
        return f"speaker-{person.number}", pseudonym
    return person.identity, name_of(segment)


def name_of(segment: Segment) -> str:
    """People choose theirs: what no database holds is left out of it."""
    return segment.speaker_name.replace("\0", "").encode(errors="ignore").decode()[:MAX_NAME_CHARS]


def _stored(meeting: Meeting, session: Session, generation: int, sound: Sequence[Segment]) -> Intake:
    with locked(meeting) as mine:
        speakers = {segment.speaker_identity for segment in sound}
        periods, people, erased = periods_of(mine), _people(mine, speakers), erased_until_ms(mine, speakers)
        kept = [
            segment
            for segment in sound
            if is_kept(
                segment,
                periods=periods,
                person=people.get(segment.speaker_identity),
                erased_until_ms=erased[segment.speaker_identity],
            )
        ]
        people |= _made_people(mine, {segment.speaker_identity for segment in kept} - people.keys())
        known = Line.objects.filter(meeting=mine, segment_id__in={uuid_of(segment) for segment in kept})
        intake = Intake(lines={line.segment_id: line for line in known}, next_change=mine.last_change + 1)
        for segment in kept:
            person = people[segment.speaker_identity]
            intake.take(segment, person=person, session=session, generation=generation)
        _write(mine, intake)
    return intake


def _write(meeting: Meeting, intake: Intake) -> None:
    if not intake.stored:
        return
    take_changes(meeting, intake.stored)
    Line.objects.bulk_create(intake.new)
    for line in intake.revised:
        line.stored_at = timezone.now()
    Line.objects.bulk_update(intake.revised, REVISED)
    LineRevision.objects.bulk_create(intake.history)


def _people(meeting: Meeting, identities: Iterable[str]) -> dict[str, Person]:
    found = Person.objects.filter(meeting=meeting, identity__in=set(identities))
    return {person.identity: person for person in found}


def _made_people(meeting: Meeting, identities: set[str]) -> Mapping[str, Person]:
    if not identities:
        return {}
    Person.objects.bulk_create(
        [Person(meeting=meeting, identity=identity) for identity in sorted(identities)],
        ignore_conflicts=True,  # a first join was noted meanwhile
    )
    return _people(meeting, identities)
