"""What a pipeline tells of itself; plain values, read by whoever reports."""

import math
from collections.abc import Callable

from contract.status import Reason


class Progress:
    """One pipeline's."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.holds_stream = False
        self.trouble: Reason | None = None
        self.spoken_at_ms: int | None = None
        self.behind_ms: int | None = None
        self.heard_at = -math.inf
        """When an engine last said something (the loop's clock)."""

    def note_trouble(self, trouble: Reason | None) -> None:
        """A change is told at once."""
        if trouble is not self.trouble:
            self.trouble = trouble
            self._on_change()
