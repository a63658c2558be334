"""Deepgram's live transcription."""

from agents.stt.deepgram.protocol import DeepgramOptions
from agents.stt.deepgram.stt import DeepgramSTT

__all__ = ["DeepgramOptions", "DeepgramSTT"]
