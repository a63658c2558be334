"""Engines that speak vLLM's `/v1/realtime`."""

from agents.stt.realtime.stt import RealtimeOptions, RealtimeSTT

__all__ = ["RealtimeOptions", "RealtimeSTT"]
