"""What the room is told of its subtitles: at every change to all, and to every newcomer alone."""

import asyncio
import logging

from livekit import rtc

from agents.sinks.fence import Fence
from contract import names, shapes
from contract.status import Status

SEND_TIMEOUT_S = 2.0
RETRY_AFTER_S = 0.2
TRIES = 5
NEWCOMERS_LIMIT = 1_000

logger = logging.getLogger(__name__)


class RoomStatus:
    """Tells what it is set to; only the newest counts."""

    def __init__(self, *, room: rtc.Room, fence: Fence) -> None:
        self._room, self._fence = room, fence
        self._status: Status | None = None
        self._told: Status | None = None
        self._newcomers: dict[str, None] = {}
        self._has_work = asyncio.Event()

    def set(self, status: Status) -> None:
        """To be told to everybody, if it is news; a change of the lag alone is not."""
        is_news = self._status is None or _without_lag(status) != _without_lag(self._status)
        self._status = status
        if is_news:
            self._has_work.set()

    def welcome(self, identity: str) -> None:
        """Somebody has just become able to receive."""
        if len(self._newcomers) < NEWCOMERS_LIMIT:
            self._newcomers[identity] = None
            self._has_work.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            await self._has_work.wait()
            await self._fence.opens()
            self._has_work.clear()
            failures = 0 if await self._all_are_told() else (failures + 1) % TRIES
            if failures:
                await asyncio.sleep(RETRY_AFTER_S)
                self._has_work.set()

    async def _all_are_told(self) -> bool:
        """Tell whoever is still to be told; what could not be sent stays to be told."""
        status = self._status
        if status is None:
            return True  # newcomers will be told with everybody else
        is_news = self._told is None or _without_lag(status) != _without_lag(self._told)
        newcomers, self._newcomers = self._newcomers, {}
        if not is_news and not newcomers:
            return True
        if not await self._is_sent(status, to=None if is_news else list(newcomers)):
            self._newcomers = newcomers | self._newcomers
            return False
        self._told = status
        return True

    async def _is_sent(self, status: Status, *, to: list[str] | None) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                writer = await self._room.local_participant.stream_text(
                    topic=names.TOPIC_STATUS, destination_identities=to
                )
                await writer.write(shapes.to_json(status))
                await writer.aclose()
        except Exception as error:  # noqa: BLE001 - livekit raises bare Exceptions; a lost status is also told over REST
            logger.warning("a status could not be sent", extra={"error": type(error).__name__})
            return False
        return True


def _without_lag(status: Status) -> tuple[object, ...]:
    return (status.state, status.engine, status.language, status.reason, status.transcript)
