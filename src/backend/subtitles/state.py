"""The state of a room's subtitles, as a client sees it."""

import datetime
from dataclasses import dataclass

from django.conf import settings

from backend.leases.models import Session
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


def state_of(room: str, session: Session | None) -> SubtitlesState:
    """`session` is the active one, the one that ended last, or None."""
    if session is None:
        return SubtitlesState(
            room=room,
            state=State.IDLE,
            generation=0,
            language=settings.SUBTITLES_LANGUAGE,
            engine=settings.STT_PROVIDER,
            since=None,
            started_by=None,
            reason=None,
        )
    return SubtitlesState(
        room=room,
        state=session.state,
        generation=session.generation,
        language=session.language,
        engine=session.engine,
        since=session.since if session.is_active else None,
        started_by=session.started_by if session.is_active else None,
        reason=session.reason,
    )
