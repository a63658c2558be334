"""What a job counts, and tells its worker every second: numbers since its start, so that a lost line costs nothing."""

import bisect
import time
from dataclasses import dataclass, fields, replace

from contract.segments import Segment
from contract.status import Reason

LATENCY_BOUNDS_S = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
NOTHING_YET = (0,) * (len(LATENCY_BOUNDS_S) + 1)


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """How many captions were sent how long after the speech they cover; the last bucket is for all that took longer."""

    buckets: tuple[int, ...] = NOTHING_YET
    sum_ms: int = 0

    def with_one(self, ms: int) -> "Latencies":
        """One caption more."""
        place = bisect.bisect_left(LATENCY_BOUNDS_S, ms / 1000)
        return Latencies(
            buckets=tuple(count + (at == place) for at, count in enumerate(self.buckets)),
            sum_ms=self.sum_ms + ms,
        )

    def __add__(self, other: "Latencies") -> "Latencies":
        together = tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True))
        return Latencies(buckets=together, sum_ms=self.sum_ms + other.sum_ms)

    def __sub__(self, other: "Latencies") -> "Latencies":
        left = tuple(a - b for a, b in zip(self.buckets, other.buckets, strict=True))
        return Latencies(buckets=left, sum_ms=self.sum_ms - other.sum_ms)


@dataclass(frozen=True, kw_only=True)
class JobCounts:
    """One job's, or the sum of several."""

    interims: Latencies = Latencies()
    finals: Latencies = Latencies()
    engine_down: int = 0
    engine_auth: int = 0
    engine_full: int = 0

    def __add__(self, other: "JobCounts") -> "JobCounts":
        return JobCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: "JobCounts") -> "JobCounts":
        return JobCounts(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})


class JobCounter:
    """Counts in a job."""

    def __init__(self) -> None:
        self.counts = JobCounts()

    def sent(self, segment: Segment) -> None:
        """A caption is in the room. One that is repeated for a newcomer tells nothing about latency."""
        if segment.is_backlog:
            return
        ms = max(0, round(time.time() * 1000) - segment.end_ms)
        if segment.is_final:
            self.counts = replace(self.counts, finals=self.counts.finals.with_one(ms))
        else:
            self.counts = replace(self.counts, interims=self.counts.interims.with_one(ms))

    def engine_failed(self, reason: Reason) -> None:
        """A stream of the engine ended in failure."""
        name = {Reason.ENGINE_AUTH: "engine_auth", Reason.AT_CAPACITY: "engine_full"}.get(
            reason, "engine_down"
        )
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + 1})
