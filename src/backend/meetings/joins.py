"""First joins, noted only while a transcript is kept: from when on somebody may read."""

import datetime
from collections.abc import Mapping

from django.db.models import Q

from backend.meetings.models import Meeting, Person
from backend.tokens.names import is_name


def note_join(meeting: Meeting | None, identity: str, *, joined_at_ms: int) -> None:
    """Nothing where no transcript is kept. Of several joins, told in any order, the first one counts."""
    if meeting is not None and meeting.is_kept and joined_at_ms > 0:
        note_joins(meeting, {identity: joined_at_ms})


def note_joins(meeting: Meeting, joined_at_ms: Mapping[str, int]) -> None:
    """Of all who are there when one begins. Who cannot ask us for anything, for their identity, need not be noted."""
    joined = {identity: _moment(at_ms) for identity, at_ms in joined_at_ms.items() if is_name(identity)}
    known = dict(
        Person.objects.filter(meeting=meeting, identity__in=joined).values_list("identity", "first_joined_at")
    )
    Person.objects.bulk_create(
        [
            Person(meeting=meeting, identity=identity, first_joined_at=at)
            for identity, at in joined.items()
            if identity not in known
        ],
        ignore_conflicts=True,  # somebody else noted the same
    )
    for identity, before in known.items():
        at = joined[identity]
        if before is None or at < before:
            later = Q(first_joined_at=None) | Q(first_joined_at__gt=at)
            Person.objects.filter(later, meeting=meeting, identity=identity).update(first_joined_at=at)


def _moment(epoch_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_ms / 1000, tz=datetime.UTC)
