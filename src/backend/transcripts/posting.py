"""What a person posts reaches those in the room through the agent, with its next heartbeat."""

from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.models import Meeting
from backend.transcripts.models import Line
from contract.segments import Segment


def session_of(meeting: Meeting) -> Session | None:
    """The one whose agent would publish it; None: no subtitles run."""
    return leases.wanted(meeting=meeting).first()


def segment_of(line: Line, *, speaker_identity: str) -> Segment:
    """As the room is shown it: `speaker_identity` is theirs there, whatever the transcript calls them."""
    return Segment(
        id=str(line.segment_id),
        track_sid=line.track_sid,
        sequence=line.sequence,
        revision=line.revision,
        is_final=True,
        speaker_identity=speaker_identity,
        speaker_name=line.speaker_name,
        language=line.language,
        start_ms=line.start_ms,
        end_ms=line.end_ms,
        engine=line.engine,
        text=line.text,
        is_corrected=line.is_corrected,
    )
