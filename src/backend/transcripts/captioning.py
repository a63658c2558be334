"""Lines that a person writes (CART), in the timeline of what engines hear."""

import time
import uuid
from dataclasses import dataclass

from django.db.models import F

from backend.errors import InvalidBody, NobodyWouldSee, NotACaptioner
from backend.events.chains import engines_of
from backend.leases.models import Session
from backend.meetings.erased import erased_until_ms
from backend.meetings.keeping import periods_of
from backend.meetings.models import Meeting, Person, Posted
from backend.meetings.posting import post
from backend.meetings.services import locked, person_of, take_changes
from backend.presence import presence_now
from backend.throttles import services as throttles
from backend.throttles.services import CAPTIONS_OF_ONE
from backend.tokens.claims import RoomClaims
from backend.transcripts.models import Line
from backend.transcripts.posting import segment_of, session_of
from backend.transcripts.readers import meeting_now
from backend.transcripts.texts import cleaned, words_of
from contract.names import ENGINE_HUMAN

MAX_NAME_CHARS = 256
AHEAD_MS = 60_000
"""How far a captioner's clock may be before ours."""
LONG_AGO_MS = 24 * 3_600_000
MAX_LENGTH_MS = 600_000
MS_A_CHAR, SHORTEST_MS, LONGEST_MS = 60, 1_000, 10_000
"""How long a line was spoken that says only when it was written, about."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a captioner sends. `id` makes a line that is sent again the same line. Times: UTC epoch."""

    text: str
    language: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    id: uuid.UUID | None = None


def write_line(*, claims: RoomClaims, written: Written) -> tuple[Line, bool]:
    """The line, and whether it is new; its change is 0 where no transcript is kept and only the room sees it."""
    if not claims.is_captioner:
        raise NotACaptioner
    draft = _draft(written, now_ms=int(time.time() * 1000))
    throttles.take(CAPTIONS_OF_ONE, claims.room, claims.identity)
    meeting = meeting_now(presence_now(claims), room=claims.room)
    if meeting is None:
        raise NobodyWouldSee
    with locked(meeting) as meeting:
        if known := _known(meeting, draft.segment_id, claims):
            return known, False
        _put(draft, meeting=meeting, claims=claims)
    return draft, True


def _draft(written: Written, *, now_ms: int) -> Line:
    start_ms, end_ms = spoken_at(written, now_ms=now_ms)
    return Line(
        segment_id=written.id or uuid.uuid4(),
        change=0,
        revision=0,
        start_ms=start_ms,
        end_ms=end_ms,
        language=written.language,
        engine=ENGINE_HUMAN,
        text=words_of(written.text),
    )


def _put(line: Line, *, meeting: Meeting, claims: RoomClaims) -> None:
    """Into the transcript where one is kept, and to the agent where one is; `meeting` must be locked."""
    is_kept, session = _is_kept(meeting, line, speaker=claims.identity), session_of(meeting)
    if not (is_kept or session):
        raise NobodyWouldSee
    line.meeting, line.sequence = meeting, _next_sequence(meeting)
    line.language = line.language or (session.language if session else engines_of(claims.room).language)
    if is_kept:
        line.person = person_of(meeting, claims.identity)
    _sign(line, claims)
    if is_kept:
        line.change = take_changes(meeting)
        line.save(force_insert=True)
    if session:
        post(meeting, segment_of(line, speaker_identity=claims.identity))


def spoken_at(written: Written, *, now_ms: int) -> tuple[int, int]:
    """Start and end. Raises InvalidBody for what is no time of a line in a meeting of today."""
    spoken_ms = min(max(SHORTEST_MS, MS_A_CHAR * len(written.text)), LONGEST_MS)
    end_ms = now_ms if written.end_ms is None else written.end_ms
    if written.end_ms is None and written.start_ms is not None:
        end_ms = max(now_ms, written.start_ms)
    start_ms = end_ms - spoken_ms if written.start_ms is None else written.start_ms
    is_sound = now_ms - LONG_AGO_MS <= start_ms <= end_ms <= now_ms + AHEAD_MS
    if not is_sound or end_ms - start_ms > MAX_LENGTH_MS:
        raise InvalidBody
    return start_ms, end_ms


def _known(meeting: Meeting, segment_id: uuid.UUID, claims: RoomClaims) -> Line | None:
    """The line that was sent before. Raises InvalidBody if the id is of another one."""
    line = Line.objects.filter(meeting=meeting, segment_id=segment_id).select_related("person").first()
    if line is not None:
        if (line.person.identity, line.engine) != (claims.identity, ENGINE_HUMAN):
            raise InvalidBody
        return line
    posted = Posted.objects.filter(meeting=meeting, segment__id=str(segment_id)).first()
    return _unkept(meeting, posted, claims) if posted else None


def _unkept(meeting: Meeting, posted: Posted, claims: RoomClaims) -> Line:
    said = posted.segment
    if (said["speaker_identity"], said["engine"]) != (claims.identity, ENGINE_HUMAN):
        raise InvalidBody
    fields = ("revision", "sequence", "start_ms", "end_ms", "speaker_name", "language", "engine", "text")
    line = Line(meeting=meeting, segment_id=said["id"], change=0, **{name: said[name] for name in fields})
    _sign(line, claims)
    return line


def _sign(line: Line, claims: RoomClaims) -> None:
    """Under the name they want to be shown by; nothing is made of who is not kept."""
    person = Person.objects.filter(meeting=line.meeting, identity=claims.identity).first()
    name = cleaned(claims.name)[:MAX_NAME_CHARS]
    line.speaker_identity = person.shown_identity if person else claims.identity
    line.speaker_name = (person.pseudonym if person else "") or name


def _is_kept(meeting: Meeting, line: Line, *, speaker: str) -> bool:
    """As what the agent hears: what overlaps a time when a transcript was kept, and was not erased since."""
    if line.start_ms <= erased_until_ms(meeting, [speaker])[speaker]:
        return False
    return any(period.has(start_ms=line.start_ms, end_ms=line.end_ms) for period in periods_of(meeting))


def _next_sequence(meeting: Meeting) -> int:
    """After all that the agent has shown; before everything while no subtitles have run in this meeting."""
    latest = meeting.sessions.order_by("-since").first()
    if latest is None:
        return 0
    Session.objects.filter(pk=latest.pk).update(last_sequence=F("last_sequence") + 1)
    latest.refresh_from_db(fields=["last_sequence"])
    return latest.last_sequence
