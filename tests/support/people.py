"""People in a room, as real LiveKit clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit import rtc

from tests.support.livekit import LiveKitServer


@asynccontextmanager
async def joined(
    server: LiveKitServer, room: str, identity: str, **grants: object
) -> AsyncIterator[rtc.Room]:
    """A participant who is in the room for the length of the block."""
    person = rtc.Room()
    await person.connect(
        server.url, server.token(room, identity, **grants), rtc.RoomOptions(auto_subscribe=False)
    )
    try:
        yield person
    finally:
        await person.disconnect()
