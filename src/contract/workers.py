"""What a worker and the backend say to each other on `/internal/v1/`."""

import enum
from dataclasses import dataclass

from contract.status import Reason, State

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """A worker asks for a lease before it accepts the LiveKit job. The worker's name is the token's `sub`."""

    generation: int
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """The lease is the worker's. Everything a job needs to know, and no secret."""

    session: str
    generation: int
    room: str
    agent_identity: str
    language: str
    engine: str
    first_sequence: int
    screen_share_audio: bool
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class HeardUntil:
    """How far one track was transcribed by the agent that hands over (UTC epoch ms)."""

    track_sid: str
    until_ms: int


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """How one job does.

    `state` is `joining`, `live`, `degraded`, `stopping` or `failed`; `speaking` counts pipelines that hold
    an engine stream; `last_sequence` is the highest sequence given out (0: none); `behind_ms` is how far
    captions lag behind the speech; `spoken_at_ms` is when anybody last spoke (UTC epoch; null: not yet).
    A job told to wait is `live` once it hears everybody. `heard_until` is set by one told to finish, as soon as
    it has stopped listening. `lost` is set by the worker for a job that fell silent or ended.
    """

    session: str
    generation: int
    state: State
    reason: Reason | None = None
    speaking: int = 0
    last_sequence: int = 0
    behind_ms: int | None = None
    spoken_at_ms: int | None = None
    heard_until: tuple[HeardUntil, ...] | None = None
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerHeartbeat:
    """One batched report a second; `capacity` is how many speaking pipelines this worker takes."""

    capacity: int
    draining: bool
    engines: tuple[str, ...]
    jobs: tuple[JobReport, ...] = ()
    version: int = VERSION


class Order(enum.StrEnum):
    """What a job is to do.

    SPEAK    go on: the lease is its own
    WAIT     join and listen, publish nothing: another is about to hand over
    FINISH   stop listening at a pause, end what is open, leave: the next one stands by, or none will come
    LEAVE    leave now: the lease is not its own (any more)
    """

    SPEAK = "speak"
    WAIT = "wait"
    FINISH = "finish"
    LEAVE = "leave"


@dataclass(frozen=True, kw_only=True)
class JobCommand:
    """The answer for one reported job; `heard_until` tells one that takes over from where (null: not known yet)."""

    session: str
    generation: int
    order: Order
    language: str
    heard_until: tuple[HeardUntil, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class HeartbeatAnswer:
    """One command for each job of the heartbeat."""

    jobs: tuple[JobCommand, ...] = ()
    version: int = VERSION
