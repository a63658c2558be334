"""When a job may publish: told to speak, and sure that its lease is still its own.

A job whose loop stood still (a stopped process, a starved machine) may have lost its lease meanwhile. It
publishes nothing until a heartbeat that held a report made after the stall has been answered. Heartbeats
that merely fail close nothing: nobody can claim the lease while the backend is away.
"""

import asyncio

from contract.names import JOB_SILENT_AFTER_S

STALL_S = 1.5
UNREPORTED_S = JOB_SILENT_AFTER_S - 0.1
"""Without a report for so long the worker is about to call the job lost, even if each stall was shorter."""
POLL_S = 0.05


class Fence:
    """Closed until the first SPEAK."""

    def __init__(self, *, now: float) -> None:
        self._beat_at = self._reported_at = now
        self._reports = 0
        self._opens_at_report: int | None = 1
        self._is_told_to_speak = False

    def beat(self, *, now: float) -> None:
        """The loop runs; to be called several times a second."""
        if now - self._beat_at > STALL_S or now - self._reported_at > UNREPORTED_S:
            self._opens_at_report = self._reports + 1
        self._beat_at = now

    def next_report(self, *, now: float) -> int:
        """The number of the report that is about to be made."""
        self.beat(now=now)
        self._reports += 1
        self._reported_at = now
        return self._reports

    def told_to_speak(self, *, report: int, now: float) -> None:
        """The heartbeat that held our report number `report` was answered with SPEAK."""
        self.beat(now=now)
        self._is_told_to_speak = True
        if self._opens_at_report is not None and report >= self._opens_at_report:
            self._opens_at_report = None

    def is_open(self, *, now: float) -> bool:
        """Whether to publish now; looks at the time itself, as a stalled loop may run us before any timer."""
        self.beat(now=now)
        return self._is_told_to_speak and self._opens_at_report is None

    async def opens(self) -> None:
        """Until it is open by the running loop's clock."""
        while not self.is_open(now=asyncio.get_running_loop().time()):  # noqa: ASYNC110 - it also closes by time
            await asyncio.sleep(POLL_S)
