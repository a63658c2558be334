"""Hiding a name in what is stored already."""

from dataclasses import replace

from django.db import connection
from django.utils import timezone

from backend.meetings.models import Meeting, Person
from backend.meetings.posting import MOST_AT_A_TIME
from backend.meetings.services import take_changes
from backend.transcripts.models import Line
from backend.transcripts.posting import segment_of
from contract.segments import Segment

HIDE = f"""
    UPDATE {Line._meta.db_table} AS line
    SET change = %s + shown.place, revision = line.revision + 1, stored_at = %s,
        speaker_identity = %s, speaker_name = %s
    FROM (
        SELECT id, row_number() OVER (ORDER BY change) AS place FROM {Line._meta.db_table}
        WHERE person_id = %s AND speaker_identity <> %s
    ) AS shown
    WHERE line.id = shown.id
"""
"""One statement, in PostgreSQL and in SQLite, for what an hour of speech leaves; row by row takes seconds."""


def hide_lines(meeting: Meeting, person: Person) -> list[Segment]:
    """Their lines that show a name become the pseudonym's, each a revision more; the newest few, as they are now.

    `meeting` must be locked. The words stay, so there is no history of it, and none that holds the name.
    """
    before = meeting.last_change
    with connection.cursor() as cursor:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        identity, name = person.shown_identity, person.pseudonym
        cursor.execute(HIDE, [before, now, identity, name, person.pk, identity])
        count = cursor.rowcount
    take_changes(meeting, count)
    hidden = Line.objects.filter(meeting=meeting, change__gt=before).order_by("-change")
    # Who has never seen such a line is not to be told it as if it were being said.
    return [
        replace(segment_of(line, speaker_identity=person.identity), is_backlog=True)
        for line in reversed(hidden[:MOST_AT_A_TIME])
    ]
