"""What the room is told of its subtitles."""

import enum
from dataclasses import dataclass

from contract.transcripts import Transcript


class State(enum.StrEnum):
    """The life of a session, as REST, the status topic and the page name it."""

    IDLE = "idle"
    REQUESTED = "requested"
    WAITING_FOR_WORKER = "waiting_for_worker"
    JOINING = "joining"
    LIVE = "live"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    FAILED = "failed"


class Reason(enum.StrEnum):
    """Why the state is what it is, where it needs saying."""

    NO_WORKER = "no_worker"
    AT_CAPACITY = "at_capacity"
    WORKER_LOST = "worker_lost"
    ROOM_EMPTY = "room_empty"
    ENGINE_DOWN = "engine_down"
    ENGINE_AUTH = "engine_auth"
    E2EE_ROOM = "e2ee_room"
    BUDGET_SPENT = "budget_spent"
    IDLE = "idle"
    POLICY = "policy"


@dataclass(frozen=True, kw_only=True)
class Status:
    """The JSON of topic `roomscribe.status`."""

    state: State
    engine: str
    language: str
    behind_ms: int | None = None
    reason: Reason | None = None
    transcript: Transcript = Transcript.OFF
