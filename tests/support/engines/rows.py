"""The table: one row for each engine of the registry."""

from tests.support.engines.contract import Row
from tests.support.engines.deepgram import DeepgramServer
from tests.support.engines.elevenlabs import elevenlabs
from tests.support.engines.mistral import mistral
from tests.support.engines.nvidia import nvidia
from tests.support.engines.openai import by_request, by_stream
from tests.support.engines.realtime import realtime

ROWS = (
    Row(engine="embedded", serve=lambda: realtime("embedded")),
    Row(engine="deepgram", serve=DeepgramServer),
    Row(engine="elevenlabs", serve=elevenlabs),
    Row(engine="nvidia", serve=nvidia, session_is_an_utterance=True),
    Row(engine="mistral", serve=mistral, session_is_an_utterance=True),
    Row(engine="openai", serve=lambda: by_request("openai"), survives_garbage=False),
    Row(engine="openai_realtime", serve=by_stream),
    Row(
        engine="openai_compatible",
        serve=lambda: by_request("openai_compatible", model="a-model"),
        survives_garbage=False,
    ),
    Row(engine="voxtral", serve=lambda: realtime("voxtral")),
)
PRESETS = {"whisper": "openai_compatible", "nemotron": "openai_compatible"}
"""The same engine with other defaults: it has a row already."""
