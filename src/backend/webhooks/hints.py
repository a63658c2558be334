"""What LiveKit's webhooks make sooner. Each may be lost, doubled, late or out of order: the keeper finds out anyway."""

import contextlib

from livekit.protocol.models import ParticipantInfo
from livekit.protocol.webhook import WebhookEvent

from backend.dispatch.rooms import KINDS_OF_PEOPLE, is_in_room, joined_ms
from backend.errors import LiveKitUnavailable
from backend.leases import placement
from backend.leases import services as leases
from backend.meetings.joins import note_join
from backend.meetings.services import meeting_of
from backend.transcripts.keeping import end_meeting
from backend.webhooks import recordings
from contract.status import Reason, State

LIVEKIT_WITHIN_S = 0.2
"""With the look before it a second in all: LiveKit waits for the answer, and gains nothing from it."""


def heed(event: WebhookEvent) -> None:
    """An agent that left is not among them: whether it is missed, its heartbeats tell."""
    if event.event in recordings.EVENTS:
        recordings.heed_recording(event)
    if not event.room.sid:
        return
    match event.event:
        case "room_finished":
            end_meeting(room=event.room.name, room_sid=event.room.sid)
        case "participant_joined" if _is_person(event.participant):
            note_join(
                meeting_of(room=event.room.name, room_sid=event.room.sid),
                event.participant.identity,
                joined_at_ms=joined_ms(event.participant),
            )
            _place_where_people_return(
                room=event.room.name, room_sid=event.room.sid, identity=event.participant.identity
            )


def _place_where_people_return(*, room: str, room_sid: str, identity: str) -> None:
    session = leases.active_session(room)
    if session is None or session.room_sid != room_sid:
        return
    if session.state != State.WAITING_FOR_WORKER or session.reason != Reason.ROOM_EMPTY:
        return
    with contextlib.suppress(LiveKitUnavailable):
        if is_in_room(room=room, identity=identity):  # and has not left again: this may be an old message
            leases.note_empty(session, is_empty=False)
            placement.place(session, within_s=LIVEKIT_WITHIN_S)  # of many who try, one dispatches


def _is_person(participant: ParticipantInfo) -> bool:
    permission = participant.permission
    return participant.kind in KINDS_OF_PEOPLE and not permission.hidden and not permission.agent
