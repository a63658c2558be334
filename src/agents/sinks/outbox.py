"""What one participant's viewers are still to be sent. No I/O.

Finals are never dropped and go in order; of interims only the newest of a segment counts, and at most ten a
second are sent of each.
"""

from collections import deque

from contract.segments import Segment

INTERIM_INTERVAL_S = 0.1
FINALS_LIMIT = 200


class Outbox:
    """One speaker's segments; these never overlap, so there is one interim at most."""

    def __init__(self) -> None:
        self._finals: deque[Segment] = deque()
        self._interim: Segment | None = None
        self._sent_id, self._sent_at = "", float("-inf")

    @property
    def is_full(self) -> bool:
        """Whether whoever puts in more has to wait."""
        return len(self._finals) >= FINALS_LIMIT

    @property
    def is_empty(self) -> bool:
        """Whether all is sent."""
        return not self._finals and self._interim is None

    def put(self, segment: Segment) -> None:
        """A new revision."""
        if segment.is_final:
            self._finals.append(segment)
        # A final replaces its segment's interim; a newer segment's interim means that the older one has ended.
        self._interim = None if segment.is_final else segment

    def next_in_s(self, *, now: float) -> float | None:
        """Seconds until something may be sent; None when there is nothing."""
        if self._finals:
            return 0.0
        if self._interim is None:
            return None
        if self._interim.id != self._sent_id:
            return 0.0
        return max(0.0, self._sent_at + INTERIM_INTERVAL_S - now)

    def take(self, *, now: float) -> Segment | None:
        """The next one to send, if it is time."""
        if self.next_in_s(now=now) != 0.0:
            return None
        if self._finals:
            return self._finals.popleft()
        segment, self._interim = self._interim, None
        assert segment is not None
        self._sent_id, self._sent_at = segment.id, now
        return segment
