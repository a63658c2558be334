"""The beginning and the end of an engine's WebSocket, shared by the clients; written where it has to stand alone."""

from vllm_realtime.sockets import dialled, end

__all__ = ["dialled", "end"]
