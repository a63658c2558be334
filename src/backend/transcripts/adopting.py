"""A room that LiveKit had forgotten is there again, under another sid: its meeting goes on in it."""

from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.models import AuditEntry, KeptPeriod, Meeting, Person, Posted, Recording
from backend.meetings.services import locked, person_of, take_changes
from backend.meetings.wishes import next_pseudonym
from backend.transcripts.models import Line


def adopt_room(session: Session, room_sid: str) -> None:
    if session.meeting is None:
        leases.adopt_room(session, room_sid)
        return
    with locked(session.meeting) as meeting:
        if leases.adopt_room(session, room_sid):
            for other in Meeting.objects.filter(room=meeting.room, room_sid=room_sid).exclude(pk=meeting.pk):
                _absorb(meeting, other)
            Meeting.objects.filter(pk=meeting.pk).update(room_sid=room_sid, ended_at=None, absent_since=None)


def _absorb(meeting: Meeting, other: Meeting) -> None:
    """What somebody wanted under the new sid before it was known to be the same meeting.

    Of two wishes the one that shows less holds. Numbers are given out anew.
    """
    meeting.wishes_revision = max(meeting.wishes_revision, other.wishes_revision) + 1
    meeting.kept_since = meeting.kept_since or other.kept_since
    for theirs in other.people.all():
        _absorb_person(meeting, theirs)
    for line in other.lines.order_by("change"):
        Line.objects.filter(pk=line.pk).update(meeting=meeting, change=take_changes(meeting))
    for posted in other.posted.order_by("number"):
        meeting.last_posted += 1
        Posted.objects.filter(pk=posted.pk).update(meeting=meeting, number=meeting.last_posted)
    for kind in (KeptPeriod, Recording, Session):
        kind.objects.filter(meeting=other).update(meeting=meeting)
    AuditEntry.objects.filter(meeting=other.pk).update(meeting=meeting.pk)
    meeting.save(update_fields=["wishes_revision", "kept_since", "last_posted"])
    other.delete()


def _absorb_person(meeting: Meeting, theirs: Person) -> None:
    ours = person_of(meeting, theirs.identity)
    ours.wants_captions = ours.wants_captions and theirs.wants_captions
    ours.opted_out_at = ours.opted_out_at or theirs.opted_out_at
    ours.hides_name = ours.hides_name or theirs.hides_name
    if ours.hides_name and ours.number is None:
        ours.number = next_pseudonym(meeting)
    joins = [at for at in (ours.first_joined_at, theirs.first_joined_at) if at is not None]
    ours.first_joined_at = min(joins, default=None)
    ours.save()
    lines = Line.objects.filter(person=theirs)
    if theirs.hides_name:
        lines.update(speaker_identity=ours.shown_identity, speaker_name=ours.pseudonym)
    lines.update(person=ours)
