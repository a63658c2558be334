"""Erasing what was kept of a meeting, of one of its speakers, or of an event's meetings.

Each meeting is erased in one transaction, so a runner that dies in the middle has erased nothing and the next one
does all of it. Nothing of it names a word or, but for who asked, a person.
"""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from backend.events.models import Event
from backend.leases.models import Session
from backend.meetings.erased import fingerprint_of, remember_erased
from backend.meetings.models import Action, AuditEntry, KeptPeriod, Meeting, Person, Posted, Recording
from backend.meetings.services import locked, note, participant_actor
from backend.retention.scrubbing import scrub_soon
from backend.transcripts.models import Line, LineRevision

OF_WHOLE_MEETINGS = (Action.ERASE_MEETING, Action.ERASE_EVENT, Action.EXPIRE)


@dataclass(frozen=True, kw_only=True)
class Erased:
    """How much of what: `segments` are lines, `revisions` texts they had before, `people` had joined or wished."""

    segments: int = 0
    revisions: int = 0
    people: int = 0
    posted: int = 0
    recordings: int = 0
    exports: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        mine, theirs = asdict(self), asdict(other)
        return Erased(**{name: mine[name] + theirs[name] for name in mine})

    def __bool__(self) -> bool:
        return any(asdict(self).values())


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """`by` is who asked, as in the audit log."""

    erased: Erased
    at: datetime.datetime
    by: str


ON_ERASE: list[Callable[[Meeting], int]] = []


def on_erase(callback: Callable[[Meeting], int]) -> None:
    """`callback` forgets what else was made of the meeting's words, and says how many files or rows that were.

    It is called in the transaction of every erasure, of one speaker too. Files go at once: if the transaction fails,
    it is called again.
    """
    ON_ERASE.append(callback)


def erase_meeting(*, meeting: Meeting, actor: str, action: Action = Action.ERASE_MEETING) -> Receipt:
    """All that was kept so far. A meeting that goes on, and is kept, is kept from here on."""
    with locked(meeting) as row:
        erased = Erased(
            revisions=_deleted(LineRevision.objects.filter(line__meeting=row)),
            segments=_deleted(Line.objects.filter(meeting=row)),
            posted=_deleted(Posted.objects.filter(meeting=row)),
            recordings=_deleted(Recording.objects.filter(meeting=row)),
            exports=_forget_what_was_made_of(row),
            people=_forget_people(row, row.people.all()),
        )
        _forget_periods(row)
        row.erased_speakers.all().delete()
        entry = note(action, actor=actor, meeting=row, **asdict(erased))
        Meeting.objects.filter(pk=row.pk).update(erased_at=entry.at)
        scrub_soon()
    return Receipt(erased=erased, at=entry.at, by=actor)


def erase_speaker(*, meeting: Meeting, identity: str, actor: str) -> Receipt:
    """Whose `identity` this is, in the room or, where the name is hidden, in the transcript.

    The audit log then knows them by a pseudonym. Their own wishes last as long as the meeting does.
    """
    with locked(meeting) as row:
        at = timezone.now()
        person = _person(row, identity)
        name = person.identity if person else identity
        pseudonym = f"erased-{fingerprint_of(row, name)[:8]}"
        of_them = Line.objects.filter(meeting=row, person=person) if person else Line.objects.none()
        erased = Erased(
            revisions=_deleted(LineRevision.objects.filter(line__in=of_them)),
            segments=_deleted(of_them),
            posted=_deleted(Posted.objects.filter(pk__in=_posted_by(row, {name, identity}))),
            exports=_forget_what_was_made_of(row),
            people=_forget_people(row, row.people.filter(identity=name)),
        )
        remember_erased(row, name, until=at)
        _forget_name(row, name, pseudonym)
        note(
            Action.ERASE_SPEAKER,
            actor=pseudonym if actor == participant_actor(name) else actor,
            meeting=row,
            speaker=pseudonym,
            **asdict(erased),
        )
        scrub_soon()
    return Receipt(erased=erased, at=at, by=actor)


def erase_event(*, event: Event, actor: str) -> Receipt:
    return erase_meetings(
        meetings=Meeting.objects.filter(event=event), actor=actor, action=Action.ERASE_EVENT
    )


def erase_meetings(*, meetings: QuerySet[Meeting], actor: str, action: Action) -> Receipt:
    """One after the other, each in a transaction of its own."""
    erased = Erased()
    for meeting in with_record(meetings):
        erased += erase_meeting(meeting=meeting, actor=actor, action=action).erased
    return Receipt(erased=erased, at=timezone.now(), by=actor)


def with_record(meetings: QuerySet[Meeting]) -> QuerySet[Meeting]:
    """Those of which there is anything to erase."""
    kept = (Line, Posted, Recording, Person, KeptPeriod)
    there_is = Q()
    for model in kept:
        there_is |= Q(Exists(model.objects.filter(meeting=OuterRef("pk"))))
    return meetings.filter(there_is)


def is_erased(meeting: Meeting) -> bool:
    """Nothing that was said has been kept since the last time."""
    said = (Line, Posted, Recording)
    return meeting.erased_at is not None and not any(
        model.objects.filter(meeting=meeting).exists() for model in said
    )


def refuse_what_is_on_its_way(meeting: Meeting) -> None:
    """What was said until now and has yet to be handed in."""
    Meeting.objects.filter(pk=meeting.pk).update(erased_at=timezone.now())


def last_receipt(meeting: Meeting) -> Receipt | None:
    """Of the meeting's last erasure as a whole."""
    entries = AuditEntry.objects.filter(meeting=meeting.pk, action__in=OF_WHOLE_MEETINGS)
    entry = entries.order_by("-at").first()
    if entry is None:
        return None
    counts = {field.name: int(entry.facts.get(field.name, 0)) for field in fields(Erased)}
    return Receipt(erased=Erased(**counts), at=entry.at, by=entry.actor)


def _deleted(rows: "QuerySet[Line] | QuerySet[LineRevision] | QuerySet[Posted] | QuerySet[Recording]") -> int:
    # One statement: `delete` would read every line first, to look for what goes with it.
    return int(rows._raw_delete(rows.db) or 0)  # type: ignore[union-attr]


def _forget_what_was_made_of(meeting: Meeting) -> int:
    return sum(callback(meeting) for callback in ON_ERASE)


def _forget_people(meeting: Meeting, people: "QuerySet[Person]") -> int:
    """Joins go. Wishes, and the pseudonym that goes with one, hold until the meeting is over."""
    count = people.count()
    if meeting.ended_at is None:
        people.update(first_joined_at=None)
        people = people.filter(wants_captions=True, hides_name=False, number=None)
    people.delete()
    return count


def _forget_periods(meeting: Meeting) -> None:
    periods = KeptPeriod.objects.filter(meeting=meeting)
    if meeting.ended_at is None:
        periods = periods.exclude(until=None)
    periods.delete()


def _person(meeting: Meeting, identity: str) -> Person | None:
    """Where two are meant, it is whoever has that identity in the room."""
    people = list(meeting.people.filter(Q(identity=identity) | ~Q(number=None)))
    by_pseudonym = {f"speaker-{person.number}": person for person in people if person.number}
    return next((person for person in people if person.identity == identity), by_pseudonym.get(identity))


def _posted_by(meeting: Meeting, identities: set[str]) -> Iterator[int]:
    for posted in Posted.objects.filter(meeting=meeting):
        if posted.segment.get("speaker_identity") in identities:
            yield posted.pk


def _forget_name(meeting: Meeting, name: str, pseudonym: str) -> None:
    AuditEntry.objects.filter(meeting=meeting.pk, actor=participant_actor(name)).update(actor=pseudonym)
    LineRevision.objects.filter(line__meeting=meeting, replaced_by=name).update(replaced_by=pseudonym)
    Session.objects.filter(meeting=meeting, started_by=name).update(started_by="")
