"""NVIDIA Riva: Parakeet and others, hosted or on one's own server."""

from agents.stt.nvidia.protocol import NvidiaOptions, options_of
from agents.stt.nvidia.stt import NvidiaSTT

__all__ = ["NvidiaOptions", "NvidiaSTT", "options_of"]
