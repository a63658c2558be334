"""What a LiveKit dispatch carries to a worker. No secret: room admins can read it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DispatchMetadata:
    """Which lease to claim."""

    session: str
    generation: int
