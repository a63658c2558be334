"""Switching a meeting's transcript on and off, for somebody who is in the room; and what ends one without anybody."""

import contextlib

from django.conf import settings

from backend.dispatch.rooms import Presence, people_now
from backend.errors import LiveKitUnavailable
from backend.events.chains import RoomEngines, engines_of
from backend.events.models import EventRoom
from backend.leases import placement
from backend.leases import services as leases
from backend.meetings import keeping
from backend.meetings.joins import note_joins
from backend.meetings.models import Action, AuditEntry, Meeting
from backend.meetings.services import meeting_of, note, opened_meeting, participant_actor
from backend.presence import presence_now
from backend.throttles import services as throttles
from backend.throttles.services import REQUESTS_OF_ONE
from backend.tokens.claims import RoomClaims
from backend.transcripts.destinations import destinations
from backend.transcripts.policy import Policy, policy_of, require_right
from backend.usage.models import EngineUsage
from contract.status import Reason, State, Status

LISTING_WITHIN_S = 0.15
"""With the look for who asks before it still an answer within a second. Who is missed is noted when they ask next."""

BY_ROOM, BY_POLICY = "room", "policy"
"""Who ended it in the audit log, where nobody did."""


def switch(*, claims: RoomClaims, keep: bool) -> Presence:
    """The room's transcript is as asked for when this returns; so was who asked, and how they were seen."""
    throttles.take(REQUESTS_OF_ONE, claims.room, claims.identity)
    presence = presence_now(claims)
    engines = engines_of(claims.room)
    require_right(policy_of(engines.event), claims, keep=keep)
    if keep:
        _begin(claims, presence, engines)
    else:
        _stop(claims, presence)
    return presence


def end_meeting(*, room: str, room_sid: str) -> None:
    """LiveKit has ended this life of the room."""
    leases.end_meeting(room=room, room_sid=room_sid, reason=Reason.ROOM_EMPTY)
    meeting = meeting_of(room=room, room_sid=room_sid)
    if meeting is not None and not leases.goes_on_in(meeting):
        end(meeting)


def end(meeting: Meeting) -> None:
    keeping.end(meeting, noting=lambda: note_stop(meeting, actor=BY_ROOM))


def stop_where_forbidden() -> None:
    """Those that go on although the deployment, or the room's event, wants none any more."""
    kept = Meeting.objects.filter(kept_since__isnull=False)
    if Policy(settings.TRANSCRIPTS_POLICY) is not Policy.OFF:
        forbidding = EventRoom.objects.filter(event__transcript_policy=Policy.OFF)
        kept = kept.filter(room__in=forbidding.values("name"))
    for meeting in kept:
        with contextlib.suppress(Meeting.DoesNotExist):  # erased meanwhile
            if keeping.stop_keeping(meeting, charge=lambda: note_stop(meeting, actor=BY_POLICY)):  # noqa: B023 (called at once)
                tell_room(meeting)


def note_stop(meeting: Meeting, *, actor: str) -> AuditEntry:
    """With the engines that were sent audio since the meeting began."""
    used = EngineUsage.objects.filter(session__meeting=meeting).order_by("engine")
    names = used.values_list("engine", flat=True).distinct()
    return note(Action.STOP_KEEPING, actor=actor, meeting=meeting, engines=destinations(meeting.event, names))


def tell_room(meeting: Meeting) -> None:
    """In the words of its session, if it has had any."""
    session = leases.latest_session(meeting.room)
    if session is not None and session.room_sid == meeting.room_sid:
        placement.announce(session)
        return
    engines = engines_of(meeting.room)
    status = Status(
        state=State.IDLE,
        engine=engines.first.id,
        language=engines.language,
        transcript=keeping.transcript_of(meeting),
    )
    placement.tell(meeting.room, status)


def _begin(claims: RoomClaims, presence: Presence, engines: RoomEngines) -> None:
    event = engines.event
    meeting = opened_meeting(
        room=claims.room, room_sid=presence.room_sid, event_id=event.pk if event else None
    )

    def charge() -> None:
        throttles.take_a_change(room=claims.room, identity=claims.identity)
        going_to = destinations(event, engines.chain)
        note(Action.KEEP, actor=participant_actor(claims.identity), meeting=meeting, engines=going_to)

    if not meeting.is_kept and keeping.begin_keeping(meeting, charge=charge):
        tell_room(meeting)
        with contextlib.suppress(LiveKitUnavailable):
            note_joins(meeting, people_now(claims.room, timeout_s=LISTING_WITHIN_S))


def _stop(claims: RoomClaims, presence: Presence) -> None:
    meeting = meeting_of(room=claims.room, room_sid=presence.room_sid)

    def charge() -> None:
        throttles.take_a_change(room=claims.room, identity=claims.identity)
        if meeting is not None:
            note_stop(meeting, actor=participant_actor(claims.identity))

    if meeting is not None and meeting.is_kept and keeping.stop_keeping(meeting, charge=charge):
        tell_room(meeting)
