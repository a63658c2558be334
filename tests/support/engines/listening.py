"""What an engine's stream says, to its end."""

import asyncio

import pytest
from livekit.agents import APIConnectionError, stt

from agents.runtime.errors import EngineFault


async def heard(stream: stt.RecognizeStream, *, timeout_s: float = 8) -> list[stt.SpeechEvent]:
    """All of its events."""
    async with asyncio.timeout(timeout_s):
        return [event async for event in stream]


async def fault_of(stream: stt.RecognizeStream, *, timeout_s: float = 8) -> EngineFault:
    """Why it fails, in our words."""
    with pytest.raises(APIConnectionError) as failed:
        await heard(stream, timeout_s=timeout_s)
    assert isinstance(failed.value.__cause__, EngineFault)
    return failed.value.__cause__
