"""Erasures that somebody asks for and waits for: who may, and what is left to a job."""

import uuid
from typing import Any

from django.db.models import QuerySet

from backend.errors import TranscriptAbsent, TranscriptForbidden
from backend.events.models import Event
from backend.events.roles import changeable_events
from backend.jobs.services import enqueue_once
from backend.leases.admin import SEE_ALL
from backend.meetings.models import Action, Meeting
from backend.meetings.services import account_actor, meeting_of, participant_actor
from backend.presence import presence_now
from backend.retention.erasure import (
    Receipt,
    erase_event,
    erase_meeting,
    erase_meetings,
    erase_speaker,
    is_erased,
    last_receipt,
    refuse_what_is_on_its_way,
    with_record,
)
from backend.retention.tasks import erase_large
from backend.throttles.services import REQUESTS_OF_ONE, take
from backend.tokens.claims import RoomClaims
from backend.transcripts.models import Line

AT_ONCE_LINES = 10_000
"""So many are erased within a request, within half a second; of more, a job takes care."""
AT_ONCE_MEETINGS = 50


def erase_for_participant(*, claims: RoomClaims, speaker: str | None) -> Receipt | None:
    """Of the meeting that goes on: all of it, or one speaker; they themself may ask for that. None: a job does it."""
    take(REQUESTS_OF_ONE, claims.room, claims.identity)
    presence = presence_now(claims)
    if not claims.is_room_admin and speaker != claims.identity:
        raise TranscriptForbidden
    meeting = meeting_of(room=claims.room, room_sid=presence.room_sid)
    if meeting is None:
        raise TranscriptAbsent
    if speaker is None:
        return erase_now_or_soon(meeting=meeting, actor=participant_actor(claims.identity))
    return erase_speaker(meeting=meeting, identity=speaker, actor=participant_actor(claims.identity))


def erase_for_account(*, user: Any, transcript: str) -> Receipt | None:
    """As `erase_for_participant`, of any meeting, by its id. One that this account may not see is absent."""
    meeting = _visible(user, transcript)
    if not user.is_superuser and not changeable_events(user).filter(pk=meeting.event_id).exists():
        raise TranscriptForbidden
    return erase_now_or_soon(meeting=meeting, actor=account_actor(user))


def erase_now_or_soon(*, meeting: Meeting, actor: str) -> Receipt | None:
    """Where nothing is left since the last time, that time's receipt."""
    if is_erased(meeting) and (receipt := last_receipt(meeting)):
        refuse_what_is_on_its_way(meeting)
        return receipt
    itself = Meeting.objects.filter(pk=meeting.pk)
    if _is_much(itself):
        _leave_to_jobs(itself, actor=actor, action=Action.ERASE_MEETING)
        return None
    return erase_meeting(meeting=meeting, actor=actor)


def erase_many_now_or_soon(*, meetings: QuerySet[Meeting], actor: str, action: Action) -> Receipt | None:
    if _is_much(meetings):
        _leave_to_jobs(meetings, actor=actor, action=action)
        return None
    return erase_meetings(meetings=meetings, actor=actor, action=action)


def erase_before_delete(event: Event, actor: str) -> None:
    """An event that is deleted takes its transcripts along."""
    meetings = Meeting.objects.filter(event=event)
    if _is_much(meetings):
        _leave_to_jobs(meetings, actor=actor, action=Action.ERASE_EVENT)
    else:
        erase_event(event=event, actor=actor)


def _visible(user: Any, transcript: str) -> Meeting:
    try:
        wanted = Meeting.objects.filter(pk=uuid.UUID(transcript))
    except ValueError:
        raise TranscriptAbsent from None
    if not user.has_perm(SEE_ALL):
        wanted = wanted.filter(event__in=changeable_events(user))
    if (meeting := wanted.first()) is None:
        raise TranscriptAbsent
    return meeting


def _is_much(meetings: QuerySet[Meeting]) -> bool:
    lines = Line.objects.filter(meeting__in=meetings.values("pk")).count()
    return lines > AT_ONCE_LINES or with_record(meetings).count() > AT_ONCE_MEETINGS


def _leave_to_jobs(meetings: QuerySet[Meeting], *, actor: str, action: Action) -> None:
    for pk in with_record(meetings).values_list("pk", flat=True):
        enqueue_once(erase_large, meeting=str(pk), actor=actor, action=action)
