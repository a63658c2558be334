"""The state of a room's subtitles, as a client sees it."""

import datetime
from dataclasses import dataclass

from backend.events.chains import engines_of
from backend.leases.models import Session
from backend.meetings.keeping import transcript_of
from backend.meetings.models import Meeting
from contract.status import State


@dataclass(frozen=True, kw_only=True)
class SubtitlesState:
    room: str
    state: str
    generation: int
    language: str
    engine: str
    since: datetime.datetime | None
    started_by: str | None
    reason: str | None
    transcript: str


def state_of(room: str, session: Session | None, meeting: Meeting | None) -> SubtitlesState:
    """`session` is the active one, the one that ended last, or None; `meeting` is the one of now, if it has any."""
    if session is None:
        engines = engines_of(room)
        return SubtitlesState(
            room=room,
            state=State.IDLE,
            generation=0,
            language=engines.language,
            engine=engines.first.id,
            since=None,
            started_by=None,
            reason=None,
            transcript=transcript_of(meeting),
        )
    return SubtitlesState(
        room=room,
        state=session.state,
        generation=session.generation,
        language=session.language,
        engine=session.engine_in_use,
        since=session.since if session.is_active else None,
        started_by=(session.started_by or None) if session.is_active else None,
        reason=session.reason,
        transcript=transcript_of(meeting),
    )
