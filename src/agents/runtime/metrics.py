"""`/metrics` of a worker, in Prometheus' text format: its own counts and those of all jobs it ever had."""

import contextlib
import hmac
import itertools
import logging
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

import prometheus_client as prometheus
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.runtime.counts import LATENCY_BOUNDS_S, Latencies
from agents.runtime.roster import Roster
from contract.status import State

JOB_STATES = (State.JOINING, State.LIVE, State.DEGRADED, State.STOPPING, State.FAILED)
FINALS_OUTCOMES = ("stored", "known", "refused", "dropped")
BOUNDS = (*(str(bound) for bound in LATENCY_BOUNDS_S), "+Inf")

logger = logging.getLogger(__name__)


class Finals(Protocol):
    """How those of kept transcripts do on their way to the backend."""

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many `stored`, `known`, `refused`, `dropped`."""

    @property
    def waiting(self) -> int:
        """How many are to be handed in."""

    @property
    def oldest_waiting_s(self) -> float:
        """0: none is."""


class WorkerMetrics:
    """Everything on the worker's event loop; what is asked is read from the roster there and then."""

    def __init__(self, *, roster: Roster, capacity: int, finals: Finals, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._registry = prometheus.CollectorRegistry()
        self._answered_at = clock()
        self._claims = prometheus.Counter(
            "roomscribe_worker_claims", "Jobs that LiveKit offered", ["outcome"], registry=self._registry
        )
        self._heartbeats = prometheus.Counter(
            "roomscribe_worker_heartbeats", "Heartbeats to the backend", ["outcome"], registry=self._registry
        )
        age = prometheus.Gauge(
            "roomscribe_worker_heartbeat_age_seconds",
            "Since the backend last answered a heartbeat, or since the start",
            registry=self._registry,
        )
        age.set_function(lambda: self._clock() - self._answered_at)
        limit = prometheus.Gauge(
            "roomscribe_worker_capacity_pipelines", "Pipelines it takes", registry=self._registry
        )
        limit.set(capacity)
        for outcome in ("granted", "stale", "at_capacity", "backend_lost", "invalid"):
            self._claims.labels(outcome)
        for outcome in ("answered", "failed"):
            self._heartbeats.labels(outcome)
        self._registry.register(_Jobs(roster=roster, clock=clock))
        self._registry.register(_Finals(finals=finals, roster=roster))
        prometheus.ProcessCollector(registry=self._registry)

    def note_claim(self, outcome: str) -> None:
        """How a job that LiveKit offered was answered."""
        self._claims.labels(outcome).inc()

    def note_heartbeat(self, *, is_answered: bool) -> None:
        """One heartbeat has come to its end."""
        self._heartbeats.labels("answered" if is_answered else "failed").inc()
        if is_answered:
            self._answered_at = self._clock()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return prometheus.generate_latest(self._registry)


class _Jobs(Collector):
    def __init__(self, *, roster: Roster, clock: Callable[[], float]) -> None:
        self._roster, self._clock = roster, clock

    def collect(self) -> Iterator[Metric]:
        now = self._clock()
        counted = self._roster.counted
        yield GaugeMetricFamily(
            "roomscribe_worker_speaking_pipelines",
            "Pipelines that hold an engine stream",
            value=self._roster.speaking(now=now),
        )
        yield _by_state(Tally(self._roster.states(now=now)))
        failures = {
            "engine_down": counted.engine_down,
            "engine_auth": counted.engine_auth,
            "at_capacity": counted.engine_full,
        }
        yield _engine_failures(failures)
        yield CounterMetricFamily(
            "roomscribe_worker_engine_audio_seconds",
            "Audio given to engines, repeated audio included",
            value=counted.audio_sent_ms / 1000,
        )
        yield CounterMetricFamily(
            "roomscribe_worker_dropped_audio_seconds",
            "Speech that no engine heard: the buffer was full",
            value=counted.audio_dropped_ms / 1000,
        )
        yield _latency({"interim": counted.interims, "final": counted.finals})


class _Finals(Collector):
    def __init__(self, *, finals: Finals, roster: Roster) -> None:
        self._finals, self._roster = finals, roster

    def collect(self) -> Iterator[Metric]:
        finals = CounterMetricFamily(
            "roomscribe_worker_finals", "Finals of kept transcripts, handed in or lost", labels=["outcome"]
        )
        for outcome in FINALS_OUTCOMES:
            lost_in_jobs = self._roster.counted.finals_lost if outcome == "dropped" else 0
            finals.add_metric([outcome], self._finals.outcomes.get(outcome, 0) + lost_in_jobs)
        yield finals
        yield GaugeMetricFamily(
            "roomscribe_worker_finals_waiting", "Finals to be handed in", value=self._finals.waiting
        )
        yield GaugeMetricFamily(
            "roomscribe_worker_finals_oldest_seconds",
            "For how long the oldest of them has waited",
            value=self._finals.oldest_waiting_s,
        )


def _by_state(tally: "Tally[str]") -> Metric:
    family = GaugeMetricFamily("roomscribe_worker_jobs", "Jobs by state", labels=["state"])
    for state in (*JOB_STATES, "lost"):
        family.add_metric([state], tally[state])
    return family


def _engine_failures(failures: dict[str, int]) -> Metric:
    family = CounterMetricFamily(
        "roomscribe_worker_engine_failures", "Engine streams that ended in failure", labels=["reason"]
    )
    for reason, count in failures.items():
        family.add_metric([reason], count)
    return family


def _latency(by_kind: dict[str, Latencies]) -> Metric:
    family = HistogramMetricFamily(
        "roomscribe_caption_latency_seconds",
        "From the end of the speech a caption covers to the caption sent",
        labels=["kind"],
    )
    for kind, latencies in by_kind.items():
        buckets = list(zip(BOUNDS, itertools.accumulate(latencies.buckets), strict=True))
        family.add_metric([kind], buckets=buckets, sum_value=latencies.sum_ms / 1000)
    return family


@contextlib.asynccontextmanager
async def served(metrics: WorkerMetrics, *, port: int, token: str, is_local: bool) -> AsyncIterator[None]:
    """`GET /metrics` on every address for as long as the block lasts; port 0: nowhere.

    With a token it wants that; without one it is open in a local run and closed in production.
    """

    async def answer(request: web.Request) -> web.Response:
        if not _is_welcome(request.headers.get("Authorization", ""), token=token, is_local=is_local):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        return web.Response(body=metrics.text(), headers={"Content-Type": prometheus.CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        if port:
            await _listen(runner, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, port=port, shutdown_timeout=0.1).start()
    except OSError as error:  # captions matter more than numbers
        logger.error("metrics are not served", extra={"port": port, "error": type(error).__name__})


def _is_welcome(authorization: str, *, token: str, is_local: bool) -> bool:
    if token:
        return hmac.compare_digest(authorization.encode(errors="replace"), f"Bearer {token}".encode())
    return is_local
