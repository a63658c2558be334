"""What LiveKit's egress tells of recordings: when each began and what its file is called."""

from livekit.protocol.egress import EgressInfo
from livekit.protocol.webhook import WebhookEvent

from backend.events.chains import engines_of
from backend.meetings.models import Meeting
from backend.meetings.recordings import note_recording
from backend.meetings.services import meeting_of, opened_meeting
from backend.tokens.names import is_room_name
from backend.transcripts.policy import Policy, policy_of

EVENTS = frozenset({"egress_started", "egress_updated", "egress_ended"})
NS_PER_MS = 1_000_000
MAX_SID_CHARS = 64


def heed_recording(event: WebhookEvent) -> None:
    """They name the room within, and nowhere else."""
    info, is_last_word = event.egress_info, event.event == "egress_ended"
    meeting = _meeting_of(info, may_be_new=not is_last_word)
    if meeting is not None:
        note_recording(
            meeting,
            egress_id=info.egress_id,
            started_at_ms=info.started_at // NS_PER_MS,
            path=_path_of(info),
            is_last_word=is_last_word,
        )


def _meeting_of(info: EgressInfo, *, may_be_new: bool) -> Meeting | None:
    """A transcript may be kept later of a room that is recorded already; where none may, nothing is noted."""
    if not (0 < len(info.room_id) <= MAX_SID_CHARS and is_room_name(info.room_name)):
        return None
    meeting = meeting_of(room=info.room_name, room_sid=info.room_id)
    if meeting is not None or not may_be_new:
        return meeting
    event = engines_of(info.room_name).event
    if policy_of(event) is Policy.OFF:
        return None
    return opened_meeting(room=info.room_name, room_sid=info.room_id, event_id=event.pk if event else None)


def _path_of(info: EgressInfo) -> str:
    return next((file.filename for file in info.file_results), info.file.filename)
