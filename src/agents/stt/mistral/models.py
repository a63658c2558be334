"""Names on Mistral's realtime wire."""

from typing import Literal

Model = Literal["voxtral-mini-transcribe-realtime-2602", "voxtral-mini-transcribe-realtime-3"]
"""Some of them; any other that streams is sent as it is."""
DEFAULT_MODEL: Model = "voxtral-mini-transcribe-realtime-2602"
STREAMING = "realtime"
"""In the name of every model that streams; the others take whole files."""

BASE_URL = "https://api.mistral.ai"
PATH = "/v1/audio/transcriptions/realtime"

FLUSH = '{"type":"input_audio.flush"}'
END = '{"type":"input_audio.end"}'
"""Each as a text message."""
