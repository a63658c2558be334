"""Names on ElevenLabs' realtime wire."""

from typing import Literal

Model = Literal["scribe_v2_realtime"]
"""Any other name is sent as it is, but for those below."""
DEFAULT_MODEL: Model = "scribe_v2_realtime"
BATCH_MODELS = frozenset({"scribe_v1", "scribe_v2"})
"""They take whole files and do not stream."""

BASE_URL = "https://api.elevenlabs.io/v1"
PATH = "/speech-to-text/realtime"
KEY_HEADER = "xi-api-key"

MAX_KEYTERMS = 50
MAX_KEYTERM_CHARS = 20
"""Both of the realtime model; longer terms would be refused with the whole connection."""

# Source: https://elevenlabs.io/docs/eleven-api/guides/how-to/speech-to-text/realtime/event-reference
STATUS_OF_ERROR = {
    "auth_error": 401,
    "quota_exceeded": 402,
    "unaccepted_terms": 403,
    "invalid_request": 404,
    "input_error": 404,
    "rate_limited": 429,
    "commit_throttled": 429,
    "queue_overflow": 503,
    "resource_exhausted": 503,
    "error": 500,
    "transcriber_error": 500,
    "session_time_limit_exceeded": 500,
    "chunk_size_exceeded": 500,
    "insufficient_audio_activity": 500,
}
"""The HTTP status that says the same as an error of theirs, for a connection that was taken before it failed."""
