"""Names both sides, and the browser, say. LiveKit's own (`lk.*`) stand here for the browser's tests."""

AGENT_NAME = "roomscribe-subtitles"
AGENT_IDENTITY_PREFIX = "subtitles-"

TOPIC_TRANSCRIPTION = "lk.transcription"
TOPIC_STATUS = "roomscribe.status"
TOPIC_BACKLOG = "roomscribe.backlog"
"""Between agents, at a hand-over."""

ATTRIBUTE_SEGMENT_ID = "lk.segment_id"
ATTRIBUTE_FINAL = "lk.transcription_final"
ATTRIBUTE_TRACK_ID = "lk.transcribed_track_id"
ATTRIBUTE_SEQUENCE = "roomscribe.sequence"
ATTRIBUTE_REVISION = "roomscribe.revision"
ATTRIBUTE_SPEAKER_IDENTITY = "roomscribe.speaker_identity"
ATTRIBUTE_SPEAKER_NAME = "roomscribe.speaker_name"
ATTRIBUTE_LANGUAGE = "roomscribe.language"
ATTRIBUTE_START_MS = "roomscribe.start_ms"
ATTRIBUTE_END_MS = "roomscribe.end_ms"
ATTRIBUTE_ENGINE = "roomscribe.engine"
ATTRIBUTE_BACKLOG = "roomscribe.backlog"
ATTRIBUTE_CORRECTED = "roomscribe.corrected"
TOKEN_ATTRIBUTE_ROLE = "roomscribe.role"
"""Of a token, signed with it; never of a participant in the room, who may change theirs."""

ROLE_CAPTIONER = "captioner"
CODE_TRANSCRIPT_ABSENT = "transcript_absent"
"""What a worker is answered with 404 whose session is not known."""
ENGINE_HUMAN = "human"
"""Instead of an engine's name: a person wrote it."""

INTERNAL_AUDIENCE = "roomscribe-internal"
INTERNAL_TOKEN_TTL_S = 60
PATH_READY = "/internal/v1/ready"
PATH_HEARTBEAT = "/internal/v1/workers/{worker}/heartbeat"
PATH_CLAIM = "/internal/v1/sessions/{session}/claim"
PATH_SEGMENTS = "/internal/v1/sessions/{session}/segments"
PATH_ENGINES = "/internal/v1/sessions/{session}/engines"
PATH_ENGINE_TEST = "/internal/v1/engine-tests/{test}"
PATH_ENGINE_TEST_TAKE = "/internal/v1/engine-tests/{test}/take"

HEARTBEAT_INTERVAL_S = 1.0
"""How often a worker reports, and a job to its worker."""
JOB_SILENT_AFTER_S = 2.0
"""A job that has not reported for this long is reported lost."""
HEARTBEAT_STALE_AFTER_S = 3.0
"""A lease whose worker has been silent for this long has lost it."""


def agent_prefix(agent: str) -> str:
    """What the identities of a session's agents begin with; `agent` is a random id no API shows."""
    return f"{AGENT_IDENTITY_PREFIX}{agent}-"


def agent_identity(*, agent: str, generation: int) -> str:
    """The identity an agent joins with. Nobody can take it, and a restart never meets its own ghost."""
    return f"{agent_prefix(agent)}{generation}"


def next_agent_identity(identity: str) -> str:
    """Of the agent that takes over from the one with this identity."""
    prefix, _, generation = identity.rpartition("-")
    return f"{prefix}-{int(generation) + 1}"
