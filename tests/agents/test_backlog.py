"""Who comes late, or comes back, gets the last segments."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc

from agents.sinks.backlog import Backlog
from contract import names
from contract.segments import MAX_TEXT_CHARS, Segment
from contract.status import State
from contract.workers import Order
from tests.agents.conftest import end_job
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

SPEECH = at_level(clip("slt"), 30_000)
SENTENCE = SPEECH[: 2 * 16_000]
LINE = Segment(
    id="a",
    track_sid="TR",
    sequence=1,
    revision=0,
    is_final=False,
    speaker_identity="ada",
    speaker_name="Ada",
    language="en",
    start_ms=0,
    end_ms=1_000,
    engine="embedded",
    text="x",
)
REVISIONS = st.lists(
    st.builds(
        lambda sequence, revision: replace(
            LINE, id=f"id-{sequence}", sequence=sequence, revision=revision, text=f"{sequence} {revision}"
        ),
        st.integers(1, 12),
        st.integers(0, 4),
    ),
    max_size=60,
)


def test_of_each_segment_the_newest_is_kept_whether_it_has_ended_or_not() -> None:
    backlog = Backlog(limit=10, max_age_ms=60_000)
    backlog.put(replace(LINE, id="b", sequence=2, text="open"))
    backlog.put(replace(LINE, revision=2, is_final=True, text="corrected"))
    backlog.put(replace(LINE, revision=1, is_final=True, text="final"))

    kept = backlog.segments(now_ms=1_000)
    assert [(s.text, s.is_final, s.is_backlog) for s in kept] == [
        ("corrected", True, True),
        ("open", False, True),
    ]


def test_what_ended_too_long_ago_is_forgotten() -> None:
    backlog = Backlog(limit=10, max_age_ms=60_000)
    backlog.put(LINE)
    backlog.put(replace(LINE, id="b", sequence=2, end_ms=2_000))

    assert [s.id for s in backlog.segments(now_ms=61_000)] == ["a", "b"]
    assert [s.id for s in backlog.segments(now_ms=61_001)] == ["b"]
    assert [s.id for s in backlog.segments(now_ms=1_000)] == ["b"]


@given(REVISIONS, st.integers(0, 8))
def test_the_last_segments_are_kept_in_order_however_they_come(revisions: list[Segment], limit: int) -> None:
    backlog = Backlog(limit=limit, max_age_ms=60_000)
    for segment in revisions:
        backlog.put(segment)

    kept = backlog.segments(now_ms=1_000)
    assert [s.sequence for s in kept] == sorted({s.sequence for s in revisions})[::-1][:limit][::-1]
    assert len({s.sequence for s in kept}) == len(kept) <= limit


def repeated(viewer: Viewer) -> list[Segment]:
    """The backlog, as it came in."""
    return [caption.segment for caption in viewer.captions if caption.segment.is_backlog]


async def say_lines(ada: Speaker, viewer: Viewer, *, lines: int) -> list[Segment]:
    """That many segments; all that were shown so far."""
    for _ in range(lines):
        already = len(viewer.finals("ada"))
        await asyncio.gather(
            ada.say(np.concatenate([SENTENCE, silence(0.8)])),
            viewer.until(lambda v, already=already: len(v.finals("ada")) > already),  # type: ignore[misc]
        )
    return viewer.finals("ada")


async def test_a_latecomer_alone_gets_the_last_segments_once_and_in_order(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        said = await say_lines(ada, live_room, lines=3)
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: len(repeated(v)) == 3)
            await asyncio.gather(say_lines(ada, live_room, lines=1), late.next_final("ada"))
            assert repeated(late) == [replace(segment, is_backlog=True) for segment in said]
            assert all(c.sender == "ada" for c in late.captions)
            assert {p.id for p in late.packets}.isdisjoint(s.id for s in said)

    assert repeated(live_room) == []


async def test_who_comes_back_gets_them_again(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        said = await say_lines(ada, live_room, lines=1)
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: len(repeated(v)) == 1)
            await late.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
            await late.until(lambda v: len(repeated(v)) == 2)
        async with Viewer(livekit_server, room_name, "late") as again:
            await again.until(lambda v: len(repeated(v)) == 1)

    assert [s.id for s in repeated(late) + repeated(again)] == [said[0].id] * 3


async def test_a_line_that_is_still_open_is_shown_and_so_are_those_of_who_has_left(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "bob") as bob:
        await asyncio.gather(
            bob.say(np.concatenate([SENTENCE, silence(0.8)])), live_room.until(lambda v: v.finals("bob"))
        )
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(np.concatenate([SPEECH] * 4)))
        await live_room.until(lambda v: v.captions[-1].sender == "ada")
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: len(repeated(v)) >= 2)
        saying.cancel()

    told = [(segment.speaker_identity, segment.is_final) for segment in repeated(late)]
    assert (told[0], told[-1]) == (("bob", True), ("ada", False)), told
    assert len(repeated(late)[-1].text) <= MAX_TEXT_CHARS


async def test_what_a_participant_says_was_said_before_reaches_nobody(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    forged = replace(LINE, id=str(uuid.uuid4()), sequence=999, end_ms=10**15, is_final=True)
    writer = await live_room.room.local_participant.stream_text(
        topic=names.TOPIC_BACKLOG, attributes=forged.to_attributes()
    )
    await writer.write(forged.text)
    await writer.aclose()
    async with Speaker(livekit_server, room_name, "ada") as ada:
        said = await say_lines(ada, live_room, lines=1)
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: repeated(v))
            await asyncio.gather(say_lines(ada, live_room, lines=1), late.next_final("ada"))

    assert [s.id for s in repeated(late)] == [said[0].id]


@pytest.fixture(scope="module", params=["2", "0"])
def sparing_worker(
    request: pytest.FixtureRequest,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningWorker, int]]:
    """A worker that repeats few segments, and how many."""
    with RunningWorker(
        tmp_path_factory.mktemp("worker"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name=f"backlog-{request.param}",
        SUBTITLES_BACKLOG_SEGMENTS=request.param,
    ) as worker:
        yield worker, int(request.param)


async def test_no_more_are_repeated_than_the_setting_says(
    livekit_server: LiveKitServer,
    sparing_worker: tuple[RunningWorker, int],
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    lease: Lease,
    viewer: Viewer,
) -> None:
    worker, limit = sparing_worker
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    await viewer.until(lambda v: any(n.status.state == "live" for n in v.notices))
    async with Speaker(livekit_server, room_name, "ada") as ada:
        said = await say_lines(ada, viewer, lines=3)
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: v.notices and len(repeated(v)) == limit)
            await asyncio.gather(say_lines(ada, viewer, lines=1), late.next_final("ada"))

    assert [s.id for s in repeated(late)] == [s.id for s in said[3 - limit :]]


@pytest.fixture(scope="module")
def other_worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    with RunningWorker(
        tmp_path_factory.mktemp("worker"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="successor",
    ) as worker:
        yield worker


async def test_who_comes_after_a_hand_over_gets_what_was_said_before(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    other_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    agent = uuid.uuid4().hex
    first = backend_server.lease(room_name, agent=agent)
    second = backend_server.lease(room_name, agent=agent, generation=2, first_sequence=1001)
    second.order = Order.WAIT
    await backend_server.dispatch(livekit_server, first, agent_name=running_worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(first, state=State.LIVE)
        before = await say_lines(ada, viewer, lines=2)
        await backend_server.dispatch(livekit_server, second, agent_name=other_worker.agent_name)
        await backend_server.report(second, state=State.LIVE)
        first.order = Order.FINISH
        gone = await backend_server.report(first, lost=True)
        second.heard_until, second.order = gone.heard_until, Order.SPEAK
        after = await say_lines(ada, viewer, lines=1)
        async with Viewer(livekit_server, room_name, "late") as late:
            await late.until(lambda v: len(repeated(v)) == 3)

    assert [s.id for s in before] == [s.id for s in after[:2]]
    assert [replace(s, is_backlog=False) for s in repeated(late)] == after
    assert [c for c in viewer.captions if c.segment.is_backlog] == []
    await end_job(backend_server, second)
