"""What a worker's main process knows of its jobs. No I/O: the time is handed in.

A job is here from its claim on, so that its lease is kept warm while its process starts. It is reported lost
when it has been silent for too long or its connection has gone, until a heartbeat with that news is answered.
"""

from dataclasses import dataclass, field, replace

from agents.runtime.counts import JobCounts
from contract.engines import EnginesCause, SessionEngines
from contract.names import JOB_SILENT_AFTER_S
from contract.status import State
from contract.workers import ClaimAnswer, JobCommand, JobReport, Order

JOIN_TIMEOUT_S = 15.0
"""From the claim to the job's first word: LiveKit's assignment (7.5 s at most) and the start of a process."""
FORGET_LOST_AFTER_S = 30.0
ENGINES_AGAIN_S = 5.0
"""The backend is not asked for the same engines more often."""
LIVEKIT_LOAD_AT_CAPACITY = 0.69
"""At a load of 0.7 LiveKit drops a dispatch in silence."""


@dataclass(frozen=True, kw_only=True)
class JobKey:
    """Which lease a job serves."""

    session: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One report of a job; `number` lets the job tell which of its reports an answer covers."""

    number: int
    report: JobReport
    counts: JobCounts = field(default_factory=JobCounts)


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a job starts with."""

    claim: ClaimAnswer
    engines: SessionEngines


@dataclass(kw_only=True)
class _Job:
    claim: ClaimAnswer
    engines: SessionEngines
    tick: Tick
    heard_at: float
    is_refused: bool = False
    """An engine has refused the job since its engines were last asked for."""
    is_asking: bool = False
    asked: tuple[EnginesCause, int] | None = None
    asked_at: float = 0.0
    connected: bool = False
    gone: bool = False
    told_lost: bool = False

    @property
    def has_no_process(self) -> bool:
        """Whether it ended or never came; should it come after all, it is refused."""
        return self.gone or not self.connected


class Roster:
    """Jobs by lease."""

    def __init__(self) -> None:
        self._jobs: dict[JobKey, _Job] = {}
        self.counted = JobCounts()
        """By all jobs there ever were."""

    def claimed(self, assignment: Assignment, *, now: float) -> None:
        """The lease is ours; its job may take a moment to speak up."""
        claim = assignment.claim
        report = JobReport(session=claim.session, generation=claim.generation, state=State.JOINING)
        self._jobs[key_of(claim)] = _Job(
            claim=claim, engines=assignment.engines, tick=Tick(number=0, report=report), heard_at=now
        )

    def serves(self, key: JobKey) -> bool:
        """Whether a job of ours has this lease, or is about to."""
        job = self._jobs.get(key)
        return job is not None and not job.gone

    def connected(self, key: JobKey, *, now: float) -> Assignment | None:
        """For a job that has just connected; None for one we know nothing of, or that is here already."""
        job = self._jobs.get(key)
        if job is None or job.connected or job.gone:
            return None
        job.connected, job.heard_at = True, now
        return Assignment(claim=job.claim, engines=job.engines)

    def heard(self, key: JobKey, tick: Tick, *, now: float) -> bool:
        """Take a job's report; true when it says something that should not wait for the next heartbeat."""
        job = self._jobs.get(key)
        if job is None or key_of(tick.report) != key:
            return False
        is_news = (tick.report.state, tick.report.reason) != (job.tick.report.state, job.tick.report.reason)
        was_first, was_lost = job.tick.number == 0, job.told_lost
        refusals = tick.counts.engine_auth - job.tick.counts.engine_auth
        job.is_refused |= refusals > 0
        self.counted += tick.counts - job.tick.counts
        job.tick, job.heard_at, job.told_lost = tick, now, False
        return is_news or was_first or was_lost or refusals > 0

    def engines_due(self, command: JobCommand, *, now: float) -> EnginesCause | None:
        """Why a job's engines are to be asked for; whoever is told so asks."""
        job = self._jobs.get(key_of(command))
        if job is None or job.is_asking or command.order is Order.LEAVE:
            return None
        is_changed = command.engines_revision != job.engines.revision
        if not (is_changed or job.is_refused):
            return None
        cause = EnginesCause.CHANGED if is_changed else EnginesCause.REFUSED
        asked = (cause, command.engines_revision)
        if job.asked == asked and now - job.asked_at < ENGINES_AGAIN_S:
            return None
        job.is_asking, job.is_refused, job.asked, job.asked_at = True, False, asked, now
        return cause

    def equipped(self, key: JobKey, engines: SessionEngines | None) -> bool:
        """The answer; None: there is none. True when it tells the job something new."""
        job = self._jobs.get(key)
        if job is None:
            return False
        job.is_asking = False
        if engines is None or engines == job.engines:
            return False
        job.engines = engines
        return True

    def gone(self, key: JobKey) -> None:
        """The job's process or connection has ended, or it never got one."""
        if job := self._jobs.get(key):
            job.gone = True

    def reports(self, *, now: float) -> tuple[Tick, ...]:
        """What to say in a heartbeat sent now."""
        self._jobs = {
            key: job
            for key, job in self._jobs.items()
            if not (job.has_no_process and now - job.heard_at > FORGET_LOST_AFTER_S)
        }
        return tuple(
            replace(job.tick, report=replace(job.tick.report, lost=True, speaking=0)) if lost else job.tick
            for job in self._jobs.values()
            for lost in [self._is_lost(job, now=now)]
            if not (lost and job.told_lost)
        )

    def answered(self, ticks: tuple[Tick, ...]) -> None:
        """A heartbeat with these reports was answered: what it called lost need not be said again."""
        for tick in ticks:
            key = key_of(tick.report)
            if tick.report.lost and (job := self._jobs.get(key)):
                job.told_lost = True
                if job.has_no_process:
                    del self._jobs[key]

    def speaking(self, *, now: float) -> int:
        """Pipelines that hold an engine stream, over all jobs that are alive."""
        return sum(job.tick.report.speaking for job in self._jobs.values() if not self._is_lost(job, now=now))

    def states(self, *, now: float) -> list[str]:
        """Each job's, `lost` for one that is silent or gone."""
        return [
            "lost" if self._is_lost(job, now=now) else job.tick.report.state for job in self._jobs.values()
        ]

    def load(self, *, capacity: int, now: float) -> float:
        """What LiveKit is told: 0 to 0.69."""
        return LIVEKIT_LOAD_AT_CAPACITY * min(1.0, self.speaking(now=now) / capacity)

    def has_jobs(self) -> bool:
        """Whether any job still has to end."""
        return any(not job.gone for job in self._jobs.values())

    def has_unsaid_losses(self) -> bool:
        """Whether the backend has not yet heard of the end of some job."""
        return any(job.gone for job in self._jobs.values())

    @staticmethod
    def _is_lost(job: _Job, *, now: float) -> bool:
        patience_s = JOB_SILENT_AFTER_S if job.connected else JOIN_TIMEOUT_S
        return job.gone or now - job.heard_at > patience_s


def key_of(of: ClaimAnswer | JobReport | JobCommand) -> JobKey:
    """The lease that it is about."""
    return JobKey(session=of.session, generation=of.generation)
