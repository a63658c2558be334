"""Two agents in one room: one stands by and listens, the other finishes what it has begun."""

import asyncio
import time

from contract.status import State
from contract.workers import HeardUntil, Order
from tests.agents.conftest import end_job
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

SPEECH = at_level(clip("slt"), 30_000)
SENTENCE = SPEECH[: 2 * 16_000]


async def test_who_stands_by_hears_all_says_nothing_and_goes_on_where_the_other_has_stopped(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    standby = backend_server.lease(room_name, generation=2, first_sequence=1001)
    standby.order = Order.WAIT
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.dispatch(livekit_server, standby, agent_name=running_worker.agent_name)
        await backend_server.report(standby, state=State.LIVE)
        await ada.say(SENTENCE)
        await ada.say(silence(1.2))
        between_ms = round(time.time() * 1000) - 400  # some audio is still on its way
        await ada.say(SENTENCE)
        await ada.say(silence(0.8))
        assert engine.utterances == []  # kept, not transcribed

        assert ada.publication is not None
        standby.heard_until = (HeardUntil(track_sid=ada.publication.sid, until_ms=between_ms),)
        await engine.until(lambda e: any(u.is_ended for u in e.utterances))
        assert viewer.captions == [] and viewer.notices == []  # transcribed, not published

        standby.order = Order.SPEAK
        final = await viewer.next_final("ada")
        await ada.say(SENTENCE)
        await ada.say(silence(0.8))
        await viewer.until(lambda v: len(v.finals("ada")) == 2)

    heard_s = [utterance.seconds for utterance in engine.utterances]
    assert len(heard_s) == 2  # the first sentence was the other's
    assert final.sequence == 1001
    assert final.start_ms >= between_ms
    assert viewer.notices[0].status.state is State.LIVE
    await end_job(backend_server, standby)


async def test_told_to_finish_it_stops_at_a_pause_says_how_far_it_heard_and_ends_its_line(
    livekit_server: LiveKitServer,
    room_name: str,
    backend_server: BackendDouble,
    engine: SttDouble,
    lease: Lease,
    live_room: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        assert ada.publication is not None
        saying = asyncio.create_task(ada.say(SPEECH))
        await live_room.next_caption()
        lease.order = Order.FINISH
        gone = await backend_server.report(lease, lost=True, timeout_s=6)
        left_ms = time.time() * 1000
        await saying

    [heard] = gone.heard_until or ()
    assert heard.track_sid == ada.publication.sid
    assert left_ms - 4_000 < heard.until_ms < left_ms
    final = live_room.captions[-1].segment
    assert final.is_final and final.end_ms <= heard.until_ms + 100
    assert {c.segment.id for c in live_room.captions} == {f.id for f in live_room.finals("ada")}


async def test_told_to_finish_while_it_stands_by_it_just_leaves(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    standby = backend_server.lease(room_name, generation=2)
    standby.order = Order.WAIT
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.dispatch(livekit_server, standby, agent_name=running_worker.agent_name)
        await backend_server.report(standby, state=State.LIVE)
        await ada.say(SENTENCE)
        standby.order = Order.LEAVE
        await backend_server.report(standby, lost=True, timeout_s=3)

    assert viewer.captions == [] and engine.utterances == []
