"""What an engine's stream says, to its end."""

import asyncio
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, stt

from agents.runtime.errors import EngineFault
from tests.support.deepgram.markers import Pcm
from tests.support.engines.microphone import push

ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT


async def said(engine: stt.STT[Any], *utterances: Pcm, language: str = "en") -> list[stt.SpeechEvent]:
    """All that comes of these, each flushed."""
    async with engine.stream(language=language, conn_options=ONCE) as stream:
        for pcm in utterances:
            push(stream, pcm)
            stream.flush()
        stream.end_input()
        return await heard(stream)


def texts(events: list[stt.SpeechEvent], kind: stt.SpeechEventType = FINAL) -> list[str]:
    return [event.alternatives[0].text for event in events if event.type is kind]


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
