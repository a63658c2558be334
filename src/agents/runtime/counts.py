"""What a job counts, and tells its worker every second: numbers since its start, so that a lost line costs nothing."""

import bisect
import time
from collections import Counter
from dataclasses import dataclass, fields, replace

from contract.segments import Segment
from contract.status import Reason
from contract.workers import EngineAudio

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
    audio_sent_ms: int = 0
    audio_dropped_ms: int = 0
    finals_lost: int = 0

    def __add__(self, other: "JobCounts") -> "JobCounts":
        return JobCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: "JobCounts") -> "JobCounts":
        return JobCounts(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})


class JobCounter:
    """Counts in a job."""

    def __init__(self) -> None:
        self.counts = JobCounts()
        self._engine_audio_ms: Counter[str] = Counter()

    @property
    def engine_audio(self) -> tuple[EngineAudio, ...]:
        """Since the job began."""
        return tuple(EngineAudio(engine=name, audio_ms=ms) for name, ms in self._engine_audio_ms.items())

    def sent(self, segment: Segment) -> None:
        """A caption is in the room. One that is repeated for a newcomer tells nothing about latency."""
        if segment.is_backlog:
            return
        ms = max(0, round(time.time() * 1000) - segment.end_ms)
        if segment.is_final:
            self.counts = replace(self.counts, finals=self.counts.finals.with_one(ms))
        else:
            self.counts = replace(self.counts, interims=self.counts.interims.with_one(ms))

    def final_lost(self) -> None:
        """It could neither be written down nor told to the worker."""
        self.counts = replace(self.counts, finals_lost=self.counts.finals_lost + 1)

    def engine_failed(self, reason: Reason) -> None:
        """A stream of the engine ended in failure."""
        name = {Reason.ENGINE_AUTH: "engine_auth", Reason.AT_CAPACITY: "engine_full"}.get(
            reason, "engine_down"
        )
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + 1})

    def audio(self, *, engine: str, has_worked: bool, sent_ms: int, dropped_ms: int) -> None:
        """So much was given to an engine, and so much went unheard because the buffer was full.

        What is given to a stream that never answers may not even have left us; nobody is to pay for it.
        """
        if has_worked and sent_ms:
            self._engine_audio_ms[engine] += sent_ms
        self.counts = replace(
            self.counts,
            audio_sent_ms=self.counts.audio_sent_ms + sent_ms,
            audio_dropped_ms=self.counts.audio_dropped_ms + dropped_ms,
        )
