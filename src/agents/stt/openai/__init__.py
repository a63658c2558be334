"""OpenAI's transcription, by request and by stream, and every server that answers the same requests."""

from agents.stt.openai.options import OpenAIOptions, OpenAIRealtimeOptions
from agents.stt.openai.realtime import OpenAIRealtimeSTT
from agents.stt.openai.requests import OpenAISTT

__all__ = ["OpenAIOptions", "OpenAIRealtimeOptions", "OpenAIRealtimeSTT", "OpenAISTT"]
