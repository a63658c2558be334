"""What a real worker keeps of a real room, whom it leaves alone, and what it passes on for people."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.sinks.spool import Spool
from contract import names
from contract.segments import Segment
from contract.status import State
from contract.transcripts import Transcript, Wish
from contract.workers import Order
from tests.support.backend_double import BackendDouble, Lease, SegmentsScript
from tests.support.clips import at_level, clip, silence
from tests.support.finals import final
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

SPEECH = at_level(clip("slt"), 30_000)
SENTENCE = np.concatenate([SPEECH[: 2 * 16_000], silence(0.8)])
SHORT = np.concatenate([SPEECH[: 16_000 * 5 // 4], silence(0.7)])


@pytest.fixture
async def ada(livekit_server: LiveKitServer, room_name: str) -> AsyncIterator[Speaker]:
    async with Speaker(livekit_server, room_name, "ada", name="Ada") as ada:
        yield ada


def batches_of(backend: BackendDouble, lease: Lease) -> int:
    return sum(session == lease.session for session, _ in backend.batches)


async def told(viewer: Viewer, transcript: Transcript) -> None:
    await viewer.until(lambda v: v.notices and v.notices[-1].status.transcript is transcript)


async def test_a_transcript_is_kept_only_between_on_and_off_and_everybody_is_told(
    backend: BackendDouble,
    running_worker: RunningWorker,
    lease: Lease,
    live_room: Viewer,
    ada: Speaker,
) -> None:
    assert live_room.notices[-1].status.transcript is Transcript.OFF
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    assert batches_of(backend, lease) == 0

    saying = asyncio.create_task(ada.say(SENTENCE))
    under_way = (await live_room.next_caption()).segment
    lease.keep()
    await told(live_room, Transcript.ON)
    await asyncio.gather(saying, live_room.until(lambda v: len(v.finals()) == 2))
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    kept = live_room.finals("ada")[1:3]
    seen_at = {c.segment.id: c.at for c in live_room.captions if c.segment.is_final}
    await backend.has_stored(lease, kept)
    assert kept[0].id == under_way.id
    lags_s = [one.at - seen_at[one.segment.id] for one in backend.stored.values() if one.segment in kept]
    assert max(lags_s) < 1

    saying = asyncio.create_task(ada.say(SENTENCE))
    await live_room.next_caption()
    lease.kept_since_ms = None
    await told(live_room, Transcript.OFF)
    await asyncio.gather(saying, live_room.until(lambda v: len(v.finals()) == 4))

    assert backend.transcript(lease) == kept  # neither interims nor what was open when it went off
    assert Spool(running_worker.spool).files() == []


async def test_who_does_not_want_captions_is_not_heard_from_the_beginning(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend: BackendDouble,
    engine: SttDouble,
    room_name: str,
    lease: Lease,
    viewer: Viewer,
    ada: Speaker,
) -> None:
    lease.wish(Wish(identity="ada", captions=False))
    await backend.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    await backend.report(lease, state=State.LIVE)
    await ada.say(SENTENCE)
    assert engine.tried == 0
    async with Speaker(livekit_server, room_name, "bob") as bob:
        await asyncio.gather(bob.say(SENTENCE), viewer.next_final("bob"))

    assert {c.sender for c in viewer.captions} == {"bob"}


async def test_who_opts_out_while_they_speak_is_cut_off_at_once_and_heard_again_when_they_like(
    backend: BackendDouble,
    running_worker: RunningWorker,
    engine: SttDouble,
    lease: Lease,
    live_room: Viewer,
    ada: Speaker,
) -> None:
    saying = asyncio.create_task(ada.say(SPEECH))
    shown = (await live_room.next_caption()).segment
    lease.wish(Wish(identity="ada", captions=False))
    ended = await live_room.next_final("ada", timeout_s=3)
    heard_s = engine.utterances[-1].seconds
    last = len(live_room.captions)
    await saying
    await backend.report(lease, wishes_revision=1, speaking=0)

    assert ended.id == shown.id
    assert ended.text.startswith(shown.text)
    assert engine.utterances[-1].seconds - heard_s < 0.5
    assert len(live_room.captions) == last

    lease.wish()
    await backend.report(lease, wishes_revision=2)
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    assert live_room.captions[last].segment.id != shown.id


async def test_who_hides_their_name_is_shown_under_another_from_then_on_and_to_who_comes_late(
    livekit_server: LiveKitServer,
    room_name: str,
    backend: BackendDouble,
    lease: Lease,
    live_room: Viewer,
    ada: Speaker,
) -> None:
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    saying = asyncio.create_task(ada.say(SPEECH))
    line = (await live_room.next_caption()).segment
    lease.wish(Wish(identity="ada", pseudonym="Speaker 1"))
    await asyncio.gather(saying, live_room.until(lambda v: v.captions[-1].segment.speaker_name != "Ada"))
    await live_room.until(lambda v: v.captions[-1].segment.is_final)
    async with Viewer(livekit_server, room_name, "late") as late:
        await late.until(lambda v: len(v.captions) == len(live_room.finals("ada")))

    names_of_line = [c.segment.speaker_name for c in live_room.captions if c.segment.id == line.id]
    assert (names_of_line[0], names_of_line[-1]) == ("Ada", "Speaker 1")
    assert {c.segment.speaker_name for c in late.captions} == {"Speaker 1"}
    assert {c.sender for c in late.captions} == {"ada"}


def human(text: str, *, sequence: int) -> Segment:
    return final(
        text,
        speaker="cap",
        track_sid="",
        sequence=sequence,
        revision=0,
        engine=names.ENGINE_HUMAN,
        start_ms=round(time.time() * 1000),
        end_ms=round(time.time() * 1000),
    )


async def test_what_people_post_is_shown_also_to_who_comes_late_and_not_handed_in_again(
    livekit_server: LiveKitServer,
    room_name: str,
    backend: BackendDouble,
    lease: Lease,
    live_room: Viewer,
    ada: Speaker,
) -> None:
    lease.keep()
    await told(live_room, Transcript.ON)
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    said = live_room.finals("ada")[0]
    correction = replace(said, revision=said.revision + 1, text="corrected", is_corrected=True)
    lines = [human(f"line {number}", sequence=5 + number) for number in range(18)]
    lines.append(human("\U0001f600" * 4_000, sequence=23))
    lease.post(correction, *lines)
    await live_room.until(lambda v: len(v.finals()) == 21)
    await backend.report(lease, posted_taken=20)
    lease.post(human("the next", sequence=40))
    await live_room.until(lambda v: len(v.finals()) == 22)
    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    async with Viewer(livekit_server, room_name, "late") as late:
        await late.until(lambda v: len(v.captions) == 22)

    spoken, *posted, spoken_later = live_room.finals()
    # livekit's client gives what comes at once in any order.
    posted.sort(key=lambda segment: segment.sequence)
    assert posted == [correction, *lines, *(one.segment for one in lease.posted[20:])]
    assert spoken_later.sequence == 41
    assert {(c.sender, c.segment.engine) for c in late.captions} == {("ada", "embedded"), ("cap", "human")}
    assert [c.segment.text for c in late.captions if c.segment.id == spoken.id] == ["corrected"]
    packets = [p.text for p in live_room.packets if p.is_final]
    assert packets == [spoken.text, "corrected", spoken_later.text]  # of tracks alone, for clients' sake
    await backend.has_stored(lease, [spoken, spoken_later])
    assert backend.transcript(lease) == [spoken, spoken_later]


async def test_with_a_spool_that_cannot_be_written_captions_go_on_and_finals_go_from_memory(
    backend: BackendDouble,
    running_worker: RunningWorker,
    lease: Lease,
    live_room: Viewer,
    ada: Speaker,
) -> None:
    lease.keep()
    await told(live_room, Transcript.ON)
    away = running_worker.spool.with_name("away")
    running_worker.spool.rename(away)
    running_worker.spool.write_text("no directory")
    try:
        backend.segments.status = 503
        await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
        backend.segments.status = 200
        await backend.has_stored(lease, live_room.finals("ada"))
    finally:
        running_worker.spool.unlink()
        away.rename(running_worker.spool)

    await asyncio.gather(ada.say(SENTENCE), live_room.next_final("ada"))
    await backend.has_stored(lease, live_room.finals("ada"))
    assert "finals cannot be written down" in running_worker.log()


async def test_a_worker_that_is_told_to_end_hands_its_last_finals_in_before_it_has(
    livekit_server: LiveKitServer,
    backend: BackendDouble,
    engine: SttDouble,
    tmp_path: Path,
    room_name: str,
    viewer: Viewer,
    ada: Speaker,
) -> None:
    lease = backend.lease(room_name)
    lease.keep()
    with RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend.url,
        speech_url=engine.url,
        name=f"ends-{room_name}",
    ) as worker:
        await backend.dispatch(livekit_server, lease, agent_name=worker.agent_name)
        await told(viewer, Transcript.ON)
        saying = asyncio.create_task(ada.say(SPEECH))
        await viewer.next_caption()
        await asyncio.to_thread(worker.terminate)
        assert backend.transcript(lease) == viewer.finals("ada") != []
        saying.cancel()

    assert Spool(worker.spool).files() == []


class Meeting:
    """One that goes on while its workers are killed."""

    def __init__(self, *, room: str, viewer: Viewer, speakers: tuple[Speaker, ...]) -> None:
        self.room, self.viewer, self.speakers = room, viewer, speakers
        self.seen: dict[tuple[str, int], tuple[Lease, list[Segment]]] = {}

    async def loses_a_worker(
        self, worker: RunningWorker, backend: BackendDouble, livekit: LiveKitServer, *, after_s: float
    ) -> None:
        """Killed so long after the first final; what was seen until then is noted."""
        before, lease = len(self.viewer.finals()), backend.lease(self.room)
        lease.keep()
        await backend.dispatch(livekit, lease, agent_name=worker.agent_name)
        await backend.report(lease, state=State.LIVE)
        saying = [asyncio.create_task(_talk(speaker)) for speaker in self.speakers]
        await self.viewer.until(lambda v: len(v.finals()) > before)
        await asyncio.sleep(after_s)
        worker.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait)
        lease.order = Order.LEAVE
        for task in saying:
            task.cancel()
        await asyncio.sleep(0.5)  # what LiveKit has of it still arrives
        self.seen[lease.session, lease.generation] = (lease, self.viewer.finals()[before:])


async def _talk(speaker: Speaker) -> None:
    while True:
        await speaker.say(SHORT)


def age(spool: Path, *, by_s: float) -> None:
    """As if all had been written so much earlier."""
    for file in Spool(spool).files():
        older = f"{file.written_ms - round(by_s * 1000):013d}{file.name[13:]}"
        with contextlib.suppress(FileNotFoundError):
            (spool / file.name).rename(spool / older)


TROUBLES = (SegmentsScript(status=503), SegmentsScript(breaks_off=True), SegmentsScript(delay_s=1.0))


async def test_whenever_a_worker_is_killed_another_hands_in_every_final_that_was_seen(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend: BackendDouble,
    engine: SttDouble,
    tmp_path: Path,
    room_name: str,
    viewer: Viewer,
    ada: Speaker,
) -> None:
    dice = random.Random(7)
    async with Speaker(livekit_server, room_name, "bob") as bob:
        meeting = Meeting(room=room_name, viewer=viewer, speakers=(ada, bob))
        for number, trouble in enumerate(TROUBLES):
            backend.segments = replace(trouble)
            with RunningWorker(
                tmp_path,
                livekit=livekit_server,
                backend_url=backend.url,
                speech_url=engine.url,
                name=f"killed-{number}-{room_name}",
                TRANSCRIPT_SPOOL_DIR=str(running_worker.spool),
            ) as worker:
                await meeting.loses_a_worker(worker, backend, livekit_server, after_s=dice.uniform(0.0, 2.0))
    backend.segments = SegmentsScript()
    age(running_worker.spool, by_s=10)
    assert sum(len(seen) for _, seen in meeting.seen.values()) >= len(TROUBLES)
    for lease, seen in meeting.seen.values():
        await backend.has_stored(lease, seen)

    sessions = {session for session, _ in meeting.seen}
    heirs = {one.worker for one in backend.stored.values() if one.session in sessions}
    assert running_worker.name in heirs  # or nothing was put to the test
