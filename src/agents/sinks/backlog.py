"""The last segments of the meeting, for whoever comes late. No I/O; in memory alone, nothing is stored."""

from collections.abc import Callable
from dataclasses import replace

from contract.segments import Segment


class Backlog:
    """The newest revision of each of the last `limit` segments of all speakers, open ones included; 0: none."""

    def __init__(
        self, *, limit: int, max_age_ms: int, shown_name: Callable[[Segment], str] = lambda s: s.speaker_name
    ) -> None:
        """`shown_name` is asked at each repetition: who spoke may have hidden their name since."""
        self._limit, self._max_age_ms, self._shown_name = limit, max_age_ms, shown_name
        self._newest: dict[str, Segment] = {}

    def put(self, segment: Segment) -> None:
        """A revision; only a higher one replaces what is there, so that the order of arrival does not matter."""
        known = self._newest.get(segment.id)
        if known is None or segment.revision > known.revision:
            self._newest[segment.id] = segment
        if len(self._newest) > self._limit:
            first = min(self._newest.values(), key=lambda kept: kept.sequence)
            del self._newest[first.id]

    def segments(self, *, now_ms: int) -> list[Segment]:
        """In order of sequence, marked as repeated; what ended too long ago (UTC epoch) is forgotten."""
        self._newest = {
            id: kept for id, kept in self._newest.items() if kept.end_ms >= now_ms - self._max_age_ms
        }
        return [
            replace(kept, is_backlog=True, speaker_name=self._shown_name(kept))
            for kept in sorted(self._newest.values(), key=lambda kept: (kept.sequence, kept.start_ms))
        ]
