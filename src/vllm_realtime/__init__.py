"""Live transcription by vLLM's `/v1/realtime` (Voxtral Realtime) for LiveKit Agents."""

from vllm_realtime.errors import ServerLost, ServerRefused
from vllm_realtime.stt import STT, SpeechStream

__all__ = ["STT", "ServerLost", "ServerRefused", "SpeechStream"]
