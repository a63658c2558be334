"""ElevenLabs' realtime transcription, Scribe v2."""

from agents.stt.elevenlabs.protocol import ElevenLabsOptions
from agents.stt.elevenlabs.stt import ElevenLabsSTT

__all__ = ["ElevenLabsOptions", "ElevenLabsSTT"]
