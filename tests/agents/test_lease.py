"""Whose word counts: the backend's, over what LiveKit offers; and what happens when somebody falls silent."""

import asyncio
import time

import pytest
from livekit import api

from agents.stt.registry import installed_engines
from contract.status import Reason, State
from contract.workers import Order
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

SPEECH = at_level(clip("slt"), 30_000)
SENTENCE = SPEECH[: 2 * 16_000]


async def agents_in(server: LiveKitServer, room: str) -> list[api.ParticipantInfo]:
    async with server.api() as livekit:
        listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return [p for p in listed.participants if p.kind == api.ParticipantInfo.Kind.AGENT]


async def test_the_agent_joins_hidden_under_the_identity_the_backend_gave(
    livekit_server: LiveKitServer, room_name: str, lease: Lease, live_room: Viewer
) -> None:
    [agent] = await agents_in(livekit_server, room_name)

    assert agent.identity == lease.identity
    assert agent.permission.hidden
    assert not agent.permission.can_publish
    assert lease.session not in str(agent)
    assert live_room.room.remote_participants == {}


async def test_nothing_is_published_before_the_backend_says_speak(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    lease: Lease,
    viewer: Viewer,
) -> None:
    lease.order = None
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.JOINING)
        await ada.say(SENTENCE)
        assert viewer.captions == viewer.notices == []
        assert engine.tried == 0

        lease.order = Order.SPEAK
        await ada.say(silence(0.3))
        await backend_server.report(lease, state=State.LIVE)
        await ada.say(SENTENCE)
        await viewer.next_final("ada")


async def test_told_to_leave_it_says_no_more_and_is_gone_within_a_second(
    livekit_server: LiveKitServer,
    room_name: str,
    backend_server: BackendDouble,
    lease: Lease,
    live_room: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH))
        await live_room.next_caption()
        heard = await backend_server.heartbeat(since=time.monotonic())
        lease.order = Order.LEAVE
        ordered = (await backend_server.heartbeat(since=heard.at + 0.001)).at
        await backend_server.report(lease, lost=True, timeout_s=1.5)
        await saying

    assert await agents_in(livekit_server, room_name) == []
    assert live_room.captions[-1].at - ordered < 1
    assert live_room.captions[-1].segment.is_final  # no line is left open on anybody's screen


async def test_removed_from_the_room_the_job_ends_and_is_reported_lost(
    livekit_server: LiveKitServer,
    room_name: str,
    backend_server: BackendDouble,
    lease: Lease,
    live_room: Viewer,
) -> None:
    async with livekit_server.api() as livekit:
        await livekit.room.remove_participant(
            api.RoomParticipantIdentity(room=room_name, identity=lease.identity)
        )

    await backend_server.report(lease, lost=True, timeout_s=2)


@pytest.mark.parametrize("status", [409, 503, 500])
async def test_without_a_claim_nobody_joins(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
    status: int,
) -> None:
    lease = backend_server.lease(room_name)
    lease.claim_status = status
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    await backend_server.claimed(lease)
    told = await backend_server.heartbeat(since=time.monotonic())
    await backend_server.heartbeat(since=told.at + 0.1)

    assert backend_server.reports(lease) == []
    assert await agents_in(livekit_server, room_name) == []


async def test_while_the_backend_cannot_be_asked_nobody_joins_and_later_a_start_works(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    lease: Lease,
    viewer: Viewer,
) -> None:
    refused_before = running_worker.log().count("refused for now")
    backend_server.shut()
    try:
        await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
        await running_worker.until_logged("refused for now", times=refused_before + 1)
    finally:
        backend_server.open()
    assert await agents_in(livekit_server, room_name) == []

    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    await viewer.until(lambda v: v.notices)


async def test_a_dispatch_that_names_another_rooms_lease_is_refused(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease("some-other-room")
    refused_before = running_worker.log().count("refused for good")
    async with livekit_server.api() as livekit:
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=running_worker.agent_name, room=room_name, metadata=lease.metadata
            )
        )
    await running_worker.until_logged("refused for good", times=refused_before + 1)

    assert await agents_in(livekit_server, room_name) == []


async def test_a_dispatch_that_is_not_ours_is_refused_and_the_worker_lives_on(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    room_name: str,
    lease: Lease,
    engine: SttDouble,
    viewer: Viewer,
) -> None:
    async with livekit_server.api() as livekit:
        for metadata in ("", "no json", "[" * 10_000, '{"session": 5, "generation": "x"}', "x" * 100_000):
            await livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(
                    agent_name=running_worker.agent_name, room=room_name, metadata=metadata
                )
            )
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    await viewer.until(lambda v: v.notices)

    assert [agent.identity for agent in await agents_in(livekit_server, room_name)] == [lease.identity]


async def test_two_starts_at_once_both_work(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
) -> None:
    leases = [backend_server.lease(f"{room_name}-{number}") for number in range(2)]
    async with (
        Viewer(livekit_server, f"{room_name}-0") as one,
        Viewer(livekit_server, f"{room_name}-1") as two,
    ):
        started = time.monotonic()
        await asyncio.gather(
            *(
                backend_server.dispatch(livekit_server, x, agent_name=running_worker.agent_name)
                for x in leases
            )
        )
        await asyncio.gather(*(v.until(lambda v: v.notices) for v in (one, two)))
        assert time.monotonic() - started < 5
        for lease in leases:
            lease.order = Order.LEAVE
        await asyncio.gather(*(backend_server.report(lease, lost=True) for lease in leases))


async def test_while_the_backend_is_away_captions_go_on(
    livekit_server: LiveKitServer, room_name: str, backend_server: BackendDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        backend_server.shut()
        try:
            await ada.say(silence(2.5))
            await ada.say(SENTENCE)
            await live_room.next_final("ada")
        finally:
            backend_server.open()
        await backend_server.heartbeat(since=time.monotonic())


async def test_a_job_that_stood_still_publishes_nothing_until_a_newer_heartbeat_is_answered(
    livekit_server: LiveKitServer,
    room_name: str,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    lease: Lease,
    live_room: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SENTENCE)
        await live_room.next_final("ada")
        [job] = running_worker.jobs()
        saying = asyncio.create_task(ada.say(SPEECH))
        await live_room.next_caption()
        job.suspend()
        lease.order, suspended = None, time.monotonic()  # from now on the backend says nothing of this job
        await backend_server.report(lease, lost=True, since=suspended)
        before = len(live_room.captions)
        resumed = time.monotonic()
        job.resume()
        await backend_server.report(lease, lost=False, since=resumed)
        await saying
        assert len(live_room.captions) == before

        lease.order = Order.SPEAK
        await live_room.until(lambda v: len(v.captions) > before, timeout_s=5)


async def test_an_encrypted_room_is_refused_with_a_reason_and_not_transcribed(
    livekit_server: LiveKitServer,
    room_name: str,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    lease: Lease,
    viewer: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada", encryption_key=b"k" * 32) as ada:
        await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
        failed = await backend_server.report(lease, state=State.FAILED)
        await viewer.until(lambda v: any(n.status.state is State.FAILED for n in v.notices))
        await ada.say(SENTENCE)

    assert failed.reason is Reason.E2EE_ROOM
    assert viewer.notices[-1].status.reason is Reason.E2EE_ROOM
    assert viewer.captions == []
    assert engine.tried == 0


async def test_an_encrypted_microphone_among_others_is_told_and_ends_nobody_elses_captions(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    def is_told(viewer: Viewer, state: State, reason: Reason | None) -> bool:
        return (viewer.notices[-1].status.state, viewer.notices[-1].status.reason) == (state, reason)

    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SENTENCE)
        await live_room.next_final("ada")
        async with Speaker(livekit_server, room_name, "eve", encryption_key=b"k" * 32) as eve:
            await live_room.until(lambda v: is_told(v, State.DEGRADED, Reason.E2EE_ROOM))
            await ada.unpublish()  # now every microphone is encrypted
            await eve.say(SENTENCE)
            await ada.publish()
            await ada.say(SENTENCE)
            await live_room.next_final("ada")
        await live_room.until(lambda v: is_told(v, State.LIVE, None))

    assert {c.sender for c in live_room.captions} == {"ada"}
    assert State.FAILED not in {n.status.state for n in live_room.notices}


async def test_an_engine_this_worker_does_not_have_is_no_silent_failure(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease(room_name, engine="none-such")
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    failed = await backend_server.report(lease, state=State.FAILED)

    assert failed.reason is Reason.ENGINE_DOWN
    lease.order = Order.LEAVE
    await backend_server.report(lease, lost=True)


async def test_heartbeats_tell_what_the_worker_can_do_and_that_somebody_speaks(
    livekit_server: LiveKitServer,
    room_name: str,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    lease: Lease,
    live_room: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(SPEECH[: 3 * 16_000])
        await backend_server.report(lease, speaking=1)
    told = backend_server.told[-1]

    assert told.worker == running_worker.name
    assert (told.heartbeat.capacity, told.heartbeat.draining, told.heartbeat.engines) == (
        8,
        False,
        installed_engines(),
    )
    assert backend_server.refused_tokens == 0
    gaps = [b.at - a.at for a, b in zip(backend_server.told[-6:], backend_server.told[-5:], strict=False)]
    assert max(gaps) < 1.5
