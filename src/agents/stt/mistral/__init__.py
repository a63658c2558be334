"""Mistral's hosted realtime transcription, Voxtral."""

from agents.stt.mistral.protocol import MistralOptions
from agents.stt.mistral.stt import MistralSTT

__all__ = ["MistralOptions", "MistralSTT"]
