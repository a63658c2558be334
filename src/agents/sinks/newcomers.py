"""Who comes late, or comes back, is sent the backlog: addressed to them alone, in order.

LiveKit announces whoever can receive (`participant_active`): at a join, at a second one under the same identity, and
after a reconnection that had to begin anew. A connection that was merely resumed has lost nothing. When it was we
who had to begin anew, everybody is announced again, and gets what was lost meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from livekit import rtc

from agents.sinks import captions
from agents.sinks.backlog import Backlog
from agents.sinks.fence import Fence
from contract.segments import Segment

SEND_TIMEOUT_S = 2.0
RETRY_AFTER_S = 0.2
GIVE_UP_AFTER_S = 10.0
PAUSE_S = 0.005
"""Between two segments: live captions go first."""
NEWCOMERS_LIMIT = 1_000

logger = logging.getLogger(__name__)


class Newcomers:
    """One for the room. All who wait are served at once, so that a crowd costs as much as one."""

    def __init__(
        self,
        *,
        room: rtc.Room,
        fence: Fence,
        backlog: Backlog,
        repeat: Callable[..., Awaitable[None]] = captions.repeat,
    ) -> None:
        self._room, self._fence, self._backlog, self._repeat = room, fence, backlog, repeat
        self._waiting: dict[str, None] = {}
        self._has_work = asyncio.Event()

    def welcome(self, identity: str) -> None:
        """Somebody has just become able to receive."""
        if len(self._waiting) < NEWCOMERS_LIMIT:
            self._waiting[identity] = None
            self._has_work.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._has_work.wait()
            await self._fence.opens()
            self._has_work.clear()
            newcomers, self._waiting = list(self._waiting), {}
            await self._told(newcomers)

    async def _told(self, newcomers: Sequence[str]) -> None:
        """Live revisions may come between: clients go by the number of the revision."""
        for segment in self._backlog.segments(now_ms=round(time.time() * 1000)):
            await self._fence.opens()
            present = [identity for identity in newcomers if identity in self._room.remote_participants]
            if not present:
                return
            if not await self._is_repeated(segment, to=present):
                logger.warning("a backlog could not be sent", extra={"newcomers": len(present)})
                return
            await asyncio.sleep(PAUSE_S)

    async def _is_repeated(self, segment: Segment, *, to: Sequence[str]) -> bool:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + GIVE_UP_AFTER_S
        while not await self._is_sent(segment, to=to):
            if loop.time() > give_up_at:
                return False
            await asyncio.sleep(RETRY_AFTER_S)
            await self._fence.opens()
        return True

    async def _is_sent(self, segment: Segment, *, to: Sequence[str]) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._repeat(self._room, segment, to=to)
        except Exception:  # noqa: BLE001 - livekit raises bare Exceptions of many kinds while it reconnects
            return False
        return True
