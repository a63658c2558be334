"""Finals as a job has them, without a room."""

import uuid

from contract.segments import Segment


def final(text: str = "x", *, speaker: str = "ada", end_ms: int = 2_000, **others: object) -> Segment:
    """Another one each time."""
    values = {
        "id": str(uuid.uuid4()),
        "track_sid": "TR_1",
        "sequence": 1,
        "revision": 3,
        "is_final": True,
        "speaker_identity": speaker,
        "speaker_name": speaker.title(),
        "language": "en",
        "start_ms": 1_000,
        "end_ms": end_ms,
        "engine": "embedded",
        "text": text,
    }
    return Segment(**{**values, **others})  # type: ignore[arg-type]
