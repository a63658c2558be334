"""Whether an engine is worth trying. Pure: the time is handed in.

One breaker per engine of a job, so that people whose streams fail do not each knock at the same closed door:
while it is open nobody tries, and then one does for all. Streams that work are left alone.
"""

import enum
import math
import random
from collections.abc import Callable

from agents.rooms.backoff import backoff_s
from contract.status import Reason

REFUSED_RETRY_S = 5.0
RETRY_AFTER_MOST_S = 600.0
SILENT_MOST_S = 60.0


class Failure(enum.Enum):
    """How a stream of an engine came to nothing."""

    REFUSED = Reason.ENGINE_AUTH
    FULL = Reason.AT_CAPACITY
    LOST = Reason.ENGINE_DOWN
    SILENT = "silent"
    """It took audio and said nothing."""

    @property
    def reason(self) -> Reason:
        """What the room is told."""
        return Reason.ENGINE_DOWN if self is Failure.SILENT else Reason(self.value)


class Breaker:
    """Closed until a stream fails without having worked; closed again by one that works."""

    def __init__(self, *, is_last: bool = False, jitter: Callable[[], float] = random.random) -> None:
        self.is_last, self._jitter = is_last, jitter
        """There is no other engine behind this one, so that trying it costs nothing but the try."""
        self._failures = 0
        self._opens_at = -math.inf
        self._is_tried = False
        self.trouble: Reason | None = None
        """Why it is open; None: it is closed."""

    def try_in_s(self, *, now: float) -> float:
        """0: it may be tried now; infinity: somebody is trying."""
        if self.trouble is None:
            return 0.0
        return math.inf if self._is_tried else max(0.0, self._opens_at - now)

    def tried(self) -> bool:
        """Somebody opens a stream. True: it is open, and nobody else tries until that stream has worked or failed."""
        self._is_tried = self.trouble is not None
        return self._is_tried

    def given_up(self) -> None:
        """Who tried it while it was open has stopped without an answer."""
        self._is_tried = False

    def worked(self) -> None:
        """Who tried it while it was open got an answer."""
        self._failures, self._is_tried, self.trouble = 0, False, None

    def failed(self, failure: Failure, *, retry_after_s: float | None, now: float) -> None:
        """A stream ended in failure before it got any answer."""
        self._failures += 1
        self._is_tried = False
        self.trouble = failure.reason
        self._opens_at = now + max(self._wait_s(failure), min(retry_after_s or 0.0, RETRY_AFTER_MOST_S))

    def _wait_s(self, failure: Failure) -> float:
        if failure is Failure.REFUSED:
            return REFUSED_RETRY_S
        if failure is Failure.SILENT and not self.is_last:
            # To find out again costs somebody many seconds without captions, which the next engine could write.
            return min(SILENT_MOST_S, REFUSED_RETRY_S * 2.0 ** min(self._failures - 1, 10))
        return backoff_s(self._failures, jitter=self._jitter())
