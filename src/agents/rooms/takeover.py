"""From where a job transcribes: the beginning, or where the agent before it has stopped listening."""

import asyncio
from collections.abc import Iterable

from contract.workers import HeardUntil


class Takeover:
    """Until it begins, pipelines listen and keep what they hear."""

    def __init__(self) -> None:
        self._has_begun = asyncio.Event()
        self._heard_until_ms: dict[str, int] = {}

    def begin(self, heard_until: Iterable[HeardUntil]) -> None:
        """Only the first time counts."""
        if not self._has_begun.is_set():
            self._heard_until_ms = {heard.track_sid: heard.until_ms for heard in heard_until}
            self._has_begun.set()

    @property
    def has_begun(self) -> bool:
        """Whether anything may be given to an engine."""
        return self._has_begun.is_set()

    async def begun(self) -> None:
        """Until it has begun."""
        await self._has_begun.wait()

    def heard_until_ms(self, track_sid: str) -> int | None:
        """UTC epoch; None: nothing of this track was transcribed before."""
        return self._heard_until_ms.get(track_sid)
