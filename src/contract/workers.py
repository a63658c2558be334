"""What a worker and the backend say to each other on `/internal/v1/`."""

import enum
from dataclasses import dataclass, field

from contract.status import Reason, State
from contract.transcripts import PostedSegment, Wishes

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """A worker asks for a lease before it accepts the LiveKit job. The worker's name is the token's `sub`."""

    generation: int
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """The lease is the worker's. Everything a job needs to know, and no secret.

    `engine` is the first of the chain, `fallback` the rest of it in order. `wishes` and `kept_since_ms` are as in
    `JobCommand`.
    """

    session: str
    generation: int
    room: str
    agent_identity: str
    language: str
    engine: str
    first_sequence: int
    screen_share_audio: bool
    fallback: tuple[str, ...] = ()
    wishes: Wishes = field(default_factory=Wishes)
    kept_since_ms: int | None = None
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class HeardUntil:
    """How far one track was transcribed by the agent that hands over (UTC epoch ms)."""

    track_sid: str
    until_ms: int


@dataclass(frozen=True, kw_only=True)
class EngineAudio:
    """How much audio an engine has been sent by one job since the job began."""

    engine: str
    audio_ms: int


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """How one job does.

    `state` is `joining`, `live`, `degraded`, `stopping` or `failed`; `speaking` counts pipelines that hold
    an engine stream; `last_sequence` is the highest sequence given out (0: none); `behind_ms` is how far
    captions lag behind the speech; `spoken_at_ms` is when anybody last spoke (UTC epoch; null: not yet).
    A job told to wait is `live` once it hears everybody. `heard_until` is set by one told to finish, as soon as
    it has stopped listening. `wishes_revision` is of those it goes by; `posted_taken` is the highest number of a posted
    segment it has published. `lost` is set by the worker for a job that fell silent or ended.
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
    engine: str | None = None
    engine_audio: tuple[EngineAudio, ...] = ()
    wishes_revision: int = 0
    posted_taken: int = 0
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
    """The answer for one reported job; `heard_until` tells one that takes over from where (null: not known yet).

    A job whose engines are of another revision asks for them again. `kept_since_ms`: since when what is said is kept
    (UTC epoch); null: it is not. `wishes`: others than the job reported; null: they still hold. `posted`: what it has
    not yet taken, in order, a few at a time.
    """

    session: str
    generation: int
    order: Order
    language: str
    heard_until: tuple[HeardUntil, ...] | None = None
    engines_revision: int = 0
    kept_since_ms: int | None = None
    wishes: Wishes | None = None
    posted: tuple[PostedSegment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeartbeatAnswer:
    """One command for each job of the heartbeat, and the engine tests that this worker may take."""

    jobs: tuple[JobCommand, ...] = ()
    engine_tests: tuple[str, ...] = ()
    version: int = VERSION
