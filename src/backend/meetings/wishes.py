"""What participants want of captions and transcript, in one meeting: by identity, so it holds when they come again."""

from collections.abc import Callable

from django.db.models import F, Q
from django.utils import timezone

from backend.meetings.models import Meeting, Person
from backend.meetings.services import person_of
from contract.transcripts import Wish, Wishes


def wishes_of(meeting: Meeting | None) -> Wishes:
    """As its agent is told them."""
    if meeting is None:
        return Wishes()
    people = Person.objects.filter(Q(wants_captions=False) | Q(hides_name=True), meeting=meeting)
    return Wishes(
        revision=meeting.wishes_revision,
        people=tuple(
            Wish(identity=person.identity, captions=person.wants_captions, pseudonym=person.pseudonym)
            for person in people.order_by("identity")
        ),
    )


def wish_of(meeting: Meeting | None, identity: str) -> Person:
    """Unsaved, with what everybody wants who has said nothing, if they have not."""
    known = Person.objects.filter(meeting=meeting, identity=identity).first() if meeting else None
    return known or Person(meeting=meeting, identity=identity)


def is_met(person: Person, *, captions: bool | None, hides_name: bool | None) -> bool:
    """Whether it is so already; None: as it is."""
    return captions in (None, person.wants_captions) and hides_name in (None, person.hides_name)


def change_wish(
    meeting: Meeting,
    identity: str,
    *,
    captions: bool | None = None,
    hides_name: bool | None = None,
    charge: Callable[[], object] = lambda: None,
) -> Person:
    """None: as it is. `meeting` must be locked; `charge` is called if anything changes, and may refuse."""
    person = wish_of(meeting, identity)
    if is_met(person, captions=captions, hides_name=hides_name):
        return person
    charge()
    person = person_of(meeting, identity)
    if captions is not None and captions != person.wants_captions:
        person.wants_captions, person.opted_out_at = captions, None if captions else timezone.now()
    if hides_name is not None:
        person.hides_name = hides_name
    if person.hides_name and person.number is None:
        person.number = next_pseudonym(meeting)
    person.save(update_fields=["wants_captions", "opted_out_at", "hides_name", "number"])
    Meeting.objects.filter(pk=meeting.pk).update(wishes_revision=F("wishes_revision") + 1)
    return person


def next_pseudonym(meeting: Meeting) -> int:
    """A number that nobody else of this meeting has; it must be locked."""
    meeting.last_pseudonym += 1
    Meeting.objects.filter(pk=meeting.pk).update(last_pseudonym=meeting.last_pseudonym)
    return meeting.last_pseudonym
