"""A room admin writes what was really said: a new revision for everybody, the old one kept as history."""

import uuid

from django.conf import settings

from backend.errors import SegmentAbsent, TranscriptForbidden, TranscriptsOff
from backend.meetings.models import Action, Meeting
from backend.meetings.posting import post
from backend.meetings.services import locked, note, participant_actor, take_changes
from backend.presence import presence_now
from backend.throttles import services as throttles
from backend.throttles.services import REQUESTS_OF_ONE
from backend.tokens.claims import RoomClaims
from backend.transcripts.models import Line, LineRevision
from backend.transcripts.posting import segment_of, session_of
from backend.transcripts.readers import meeting_now
from backend.transcripts.texts import words_of


def correct_line(*, claims: RoomClaims, segment_id: str, text: str) -> Line:
    """The line as it is now; the same words again change nothing."""
    words = words_of(text)
    require_right_to_correct(claims)
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    meeting = meeting_now(presence_now(claims), room=claims.room)
    if meeting is None:
        raise SegmentAbsent
    with locked(meeting) as meeting:
        line = _line(meeting, segment_id)
        if line.text != words:
            _replace(line, words, by=claims.identity)
            note(
                Action.CORRECT,
                actor=participant_actor(claims.identity),
                meeting=meeting,
                segment=str(line.segment_id),
                revision=line.revision,
            )
    return line


def require_right_to_correct(claims: RoomClaims) -> None:
    """Whoever may have a transcript kept: room admins alone may change what others are shown to have said."""
    if settings.TRANSCRIPTS_POLICY == "off":
        raise TranscriptsOff
    if not claims.is_room_admin:
        raise TranscriptForbidden


def _line(meeting: Meeting, segment_id: str) -> Line:
    try:
        wanted = uuid.UUID(segment_id)
    except ValueError:
        raise SegmentAbsent from None
    line = Line.objects.filter(meeting=meeting, segment_id=wanted).select_related("person").first()
    if line is None:
        raise SegmentAbsent
    line.meeting = meeting
    return line


def _replace(line: Line, words: str, *, by: str) -> None:
    LineRevision.objects.create(line=line, revision=line.revision, text=line.text, replaced_by=by)
    line.text, line.revision, line.is_corrected = words, line.revision + 1, True
    line.change = take_changes(line.meeting)
    line.save(update_fields=["text", "revision", "is_corrected", "change", "stored_at"])
    if session_of(line.meeting):
        post(line.meeting, segment_of(line, speaker_identity=line.person.identity))
