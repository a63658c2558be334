"""A job's finals on their way to the transcript: each is written down before it is shown, while one is kept."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from contract.segments import Segment

WRITTEN_WITHIN_S = 0.2
"""A disk that takes longer does not hold up captions."""
WRITING_LIMIT = 2_000
"""So many finals wait for a disk that hangs, and no more."""

logger = logging.getLogger(__name__)


class HandIn(Protocol):
    """The way to the worker, which hands finals in."""

    def __call__(self, *, written: tuple[str, ...] = (), unwritten: tuple[Segment, ...] = ()) -> bool:
        """Files, and finals that are in none. False: it could not be told."""


class Record:
    """One for all speakers of a job. Interims are none of its business."""

    def __init__(
        self,
        *,
        kept_since_ms: int | None,
        write: Callable[[Segment], str],
        hand_in: HandIn,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`write` is called in a thread, gives the file's name and may raise OSError."""
        self.kept_since_ms = kept_since_ms
        """UTC epoch; None: no transcript is kept."""
        self._write, self._hand_in, self._on_lost = write, hand_in, on_lost
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._writing: set[asyncio.Task[None]] = set()
        self._has_failed = False

    async def keep(self, segment: Segment) -> None:
        """Returns once it is written down, if it is to be kept at all, or the disk has had its time."""
        if self.kept_since_ms is None or segment.end_ms <= self.kept_since_ms:
            return
        if len(self._writing) >= WRITING_LIMIT:
            self._hand_in_unwritten(segment)
            return
        writing = asyncio.create_task(self._written(segment), name="write a final")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        _, late = await asyncio.wait({writing}, timeout=WRITTEN_WITHIN_S)
        if late:
            self._hand_in_unwritten(segment)  # it may come twice, which the backend knows

    async def settled(self, *, within_s: float) -> None:
        """Until all is written, or for so long."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=within_s)

    async def _written(self, segment: Segment) -> None:
        try:
            name = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, segment)
        except OSError as error:
            self._note_failure(type(error).__name__)
            self._hand_in_unwritten(segment)
            return
        self._has_failed = False
        self._hand_in(written=(name,))

    def _hand_in_unwritten(self, segment: Segment) -> None:
        if not self._hand_in(unwritten=(segment,)):
            self._on_lost()

    def _note_failure(self, error: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error(
                "finals cannot be written down: the disk is full or read-only", extra={"error": error}
            )
