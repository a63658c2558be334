"""An engine that fails: captions come back by themselves, nothing said is lost, and the room is told why."""

import asyncio
import time

import numpy as np
import pytest

from contract.status import Reason, State
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble

SPEECH = at_level(np.concatenate([clip("slt"), clip("awb")]), 30_000)
SENTENCE = SPEECH[: 2 * 16_000]


def is_told(viewer: Viewer, state: State, reason: Reason | None = None) -> bool:
    return bool(viewer.notices) and (viewer.notices[-1].status.state, viewer.notices[-1].status.reason) == (
        state,
        reason,
    )


async def test_captions_come_back_with_the_speech_server_and_nothing_said_is_lost(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH[: 8 * 16_000]))
        first = (await live_room.next_caption()).segment
        engine.shut()
        await live_room.until(lambda v: is_told(v, State.DEGRADED, Reason.ENGINE_DOWN), timeout_s=5)
        engine.open()
        back = time.monotonic()
        await live_room.until(lambda v: is_told(v, State.LIVE), timeout_s=5)
        assert time.monotonic() - back < 4
        final = await live_room.next_final("ada")
        await saying

    assert final.id == first.id  # the sentence goes on where it was
    assert final.start_ms == first.start_ms
    assert engine.utterances[-1].seconds > engine.utterances[0].seconds  # heard again from its beginning
    texts = [c.segment.text for c in live_room.captions if c.segment.id == first.id]
    assert texts == sorted(texts, key=len)  # no word was taken back on anybody's screen


async def test_an_utterance_that_fails_is_heard_again_on_another_connection(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    engine.script.fails_next_utterance = True
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SENTENCE)
        final = await live_room.next_final("ada")

    assert engine.connections == 2
    assert len(engine.utterances) == 2
    assert abs(engine.utterances[0].seconds - engine.utterances[1].seconds) < 0.1
    assert final.text == " ".join(engine.utterances[1].words)
    assert len(live_room.finals("ada")) == 1


@pytest.mark.parametrize(
    ("fault", "value", "reason"),
    [
        ("refuses", 401, Reason.ENGINE_AUTH),
        ("refuses", 500, Reason.ENGINE_DOWN),
        ("is_full", True, Reason.AT_CAPACITY),
    ],
)
async def test_the_room_is_told_why_there_are_no_captions_and_when_they_are_back(
    livekit_server: LiveKitServer,
    room_name: str,
    engine: SttDouble,
    backend_server: BackendDouble,
    lease: Lease,
    live_room: Viewer,
    fault: str,
    value: object,
    reason: Reason,
) -> None:
    setattr(engine.script, fault, value)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH[: 4 * 16_000]))
        await live_room.until(lambda v: is_told(v, State.DEGRADED, reason))
        await backend_server.report(lease, state=State.DEGRADED, reason=reason)
        setattr(engine.script, fault, type(value)() or None)
        await live_room.until(lambda v: is_told(v, State.LIVE))
        await live_room.next_final("ada")
        await saying

    assert len(live_room.finals("ada")) == 1


async def test_a_refusing_engine_is_not_hammered(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    engine.script.refuses = 403
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH[: 4 * 16_000]))
        await live_room.until(lambda v: is_told(v, State.DEGRADED, Reason.ENGINE_AUTH))
        await saying

    assert engine.tried <= 2


async def test_one_speakers_broken_stream_does_not_touch_another_speaker(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with (
        Speaker(livekit_server, room_name, "ada") as ada,
        Speaker(livekit_server, room_name, "bob") as bob,
    ):
        engine.script.fails_next_utterance = True
        await ada.say(SENTENCE)
        await asyncio.gather(bob.say(SPEECH[: 4 * 16_000]), live_room.next_final("ada"))
        await live_room.next_final("bob")

    assert len(live_room.finals("ada")) == len(live_room.finals("bob")) == 1


async def test_an_engine_that_hears_no_words_leaves_no_trace(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    engine.script.says_nothing = True
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SENTENCE)
        await engine.until(lambda e: e.utterances and e.utterances[0].done_at)
        engine.script.says_nothing = False
        await ada.say(silence(0.5))
        await ada.say(SENTENCE)
        final = await live_room.next_final("ada")

    assert final.sequence == 1
    assert len({c.segment.id for c in live_room.captions}) == 1


async def test_garbage_between_the_events_is_left_out(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    engine.script.garbage = True
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SENTENCE)
        final = await live_room.next_final("ada")

    assert engine.connections == 1
    assert final.text == " ".join(engine.utterances[0].words)
