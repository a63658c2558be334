"""The backlog goes from one agent to the next through the room, addressed to that one alone: no server keeps it."""

import asyncio
import logging
import time
from dataclasses import replace

from livekit import rtc

from agents.sinks import captions
from agents.sinks.backlog import Backlog
from agents.sinks.fence import Fence
from contract import names
from contract.errors import ContractError
from contract.segments import MAX_TEXT_CHARS, Segment

SEND_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 2.0
READING_LIMIT = 1_000

logger = logging.getLogger(__name__)


class HandOver:
    """Both ends of it: gives to a successor, takes from the agent before."""

    def __init__(self, *, room: rtc.Room, fence: Fence, backlog: Backlog) -> None:
        self._room, self._fence, self._backlog = room, fence, backlog
        self._reading: set[asyncio.Task[None]] = set()

    async def give(self, *, to: str) -> None:
        """The newest first, should time run out; who is not there gets nothing."""
        await self._fence.opens()
        try:
            for segment in reversed(self._backlog.segments(now_ms=round(time.time() * 1000))):
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await captions.hand_over(self._room, segment, to=to)
        except Exception as error:  # noqa: BLE001 - livekit raises bare Exceptions of many kinds
            logger.warning("the backlog could not be handed over", extra={"error": type(error).__name__})

    def listen(self) -> None:
        """Take what is given from now on; before the room is joined, lest any of it is missed."""
        self._room.register_text_stream_handler(names.TOPIC_BACKLOG, self._on_stream)

    async def close(self) -> None:
        """Take no more."""
        self._room.unregister_text_stream_handler(names.TOPIC_BACKLOG)
        for task in self._reading:
            task.cancel()
        if self._reading:
            await asyncio.wait(self._reading)

    def _on_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        # Only a hidden agent speaks without a name; LiveKit gives every participant's streams theirs.
        if sender or len(self._reading) >= READING_LIMIT:
            reader.close()
            return
        task = asyncio.create_task(self._take(reader), name="backlog of the agent before")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _take(self, reader: rtc.TextStreamReader) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                text = await _read(reader)
            self._backlog.put(
                replace(Segment.from_attributes(reader.info.attributes or {}, text), is_backlog=False)
            )
        except (ContractError, rtc.StreamError, TimeoutError) as error:
            logger.warning("a segment handed over could not be read", extra={"error": type(error).__name__})
        finally:
            reader.close()


async def _read(reader: rtc.TextStreamReader) -> str:
    """Raises ContractError when it is longer than a segment's text may be."""
    text = ""
    async for chunk in reader:
        text += chunk
        if len(text) > MAX_TEXT_CHARS:
            raise ContractError("text")
    return text
