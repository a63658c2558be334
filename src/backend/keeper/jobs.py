"""Where there is no broker the keeper runs jobs, one at a time, in a thread beside its rounds."""

import logging
import threading
import time
import uuid

from django.db import Error as DatabaseProblem
from django.db import connections

from backend.jobs import runners
from backend.jobs.models import Job

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


class JobsThread:
    """Runs what is due while it is this keeper's turn."""

    def __init__(self) -> None:
        self.turn = threading.Event()
        self._ended = threading.Event()
        self._running: Job | None = None
        self._sweeps_at_s = 0.0
        self._thread = threading.Thread(target=self._run_all, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, within_s: float) -> None:
        """What runs is finished within that time, or given back."""
        self._ended.set()
        self._thread.join(within_s)
        if (job := self._running) is not None:
            logger.info("job given back", extra={"job": str(job.pk), "task": job.task})
            runners.give_back(job)

    def _run_all(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self._look()
            except DatabaseProblem as exc:  # away for now
                logger.warning("jobs not looked at", extra={"error": type(exc).__name__})
                connections.close_all()

    def _look(self) -> None:
        if self._may_run() and time.monotonic() >= self._sweeps_at_s:
            runners.sweep()
            self._sweeps_at_s = time.monotonic() + runners.SWEEP_EVERY_S
        for job_id in runners.due_jobs() if self._may_run() else ():
            if not self._may_run():
                return
            self._run(job_id)

    def _run(self, job_id: uuid.UUID) -> None:
        self._running = runners.take(job_id)
        if self._running is not None:
            runners.run(self._running)
        self._running = None

    def _may_run(self) -> bool:
        return self.turn.is_set() and not self._ended.is_set()
