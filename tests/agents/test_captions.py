"""Captions through a real room, worker and wire."""

import asyncio
import time
from itertools import pairwise

import pytest
from livekit import rtc

from contract.status import State
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

LOUD, QUIET = at_level(clip("slt"), 30_000), at_level(clip("rms"), 2_500)


async def test_each_speaker_gets_the_words_of_their_own_voice(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with (
        Speaker(livekit_server, room_name, "ada") as ada,
        Speaker(livekit_server, room_name, "bob", name="Боб") as bob,
    ):
        await asyncio.gather(ada.say(LOUD[: 3 * 16_000]), bob.say(QUIET[: 3 * 16_000]))
        await live_room.until(lambda v: v.finals("ada") and v.finals("bob"))

    assert {word[:4] for final in live_room.finals("ada") for word in final.text.split()} == {"loud"}
    assert {word[:5] for final in live_room.finals("bob") for word in final.text.split()} == {"quiet"}
    assert {c.segment.speaker_name for c in live_room.captions if c.sender == "bob"} == {"Боб"}
    assert {c.sender for c in live_room.captions} == {"ada", "bob"}
    assert all(c.sender == c.segment.speaker_identity for c in live_room.captions)


async def test_a_caption_grows_under_one_id_until_its_final(
    livekit_server: LiveKitServer, room_name: str, lease: Lease, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        began_ms = time.time() * 1000
        await ada.say(LOUD[: 3 * 16_000])
        await live_room.next_final("ada")
        sid = ada.publication and ada.publication.sid

    shown = [c.segment for c in live_room.captions]
    assert len({s.id for s in shown}) == len({s.sequence for s in shown}) == 1
    assert len({s.start_ms for s in shown}) == 1
    assert [s.revision for s in shown] == sorted({s.revision for s in shown})
    assert [s.is_final for s in shown] == [False] * (len(shown) - 1) + [True]
    assert len(shown) >= 4
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(shown))
    assert all(earlier.end_ms <= later.end_ms for earlier, later in pairwise(shown))
    last = shown[-1]
    assert (last.track_sid, last.language, last.engine, last.sequence) == (sid, "en", "embedded", 1)
    assert -700 <= last.start_ms - began_ms <= 600  # the pre-roll may reach back before the first word
    assert 3_000 <= last.end_ms - last.start_ms <= 4_500


async def test_older_clients_get_the_same_captions_as_packets(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(LOUD[: 2 * 16_000])
        final = await live_room.next_final("ada")
        await live_room.until(lambda v: any(p.is_final for p in v.packets))

    assert [(p.id, p.text) for p in live_room.packets if p.is_final] == [(final.id, final.text)]
    assert any(not p.is_final and p.id == final.id for p in live_room.packets)


async def test_somebody_who_comes_late_is_heard_and_told_the_state(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Viewer(livekit_server, room_name, "latecomer") as late:
        await late.until(lambda v: v.notices, timeout_s=5)
        async with Speaker(livekit_server, room_name, "late-speaker") as speaker:
            await speaker.say(LOUD[: 2 * 16_000])
            await late.next_final("late-speaker")

    assert late.notices[0].status.state is State.LIVE
    assert len(live_room.notices) == 1  # what a newcomer is told is not for the others


async def test_what_the_agent_says_of_itself_has_no_sender(live_room: Viewer) -> None:
    assert [n.sender for n in live_room.notices] == [""]
    assert live_room.notices[0].status.engine == "embedded"


async def test_leaving_in_the_middle_of_a_sentence_ends_it_and_coming_back_begins_anew(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    ada = Speaker(livekit_server, room_name, "ada")
    async with ada:
        await ada.say(LOUD[: 2 * 16_000])
    first = await live_room.next_final("ada")
    async with Speaker(livekit_server, room_name, "ada") as again:
        await again.say(LOUD[: 2 * 16_000])
        second = await live_room.next_final("ada")

    assert first.id != second.id
    assert first.sequence < second.sequence
    assert first.track_sid != second.track_sid
    await engine.until(lambda e: e.open_connections == 0)


async def test_a_muted_microphone_costs_no_engine_connection_and_is_heard_again_when_unmuted(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(LOUD[: 2 * 16_000])
        ada.mute()
        await live_room.next_final("ada")
        await engine.until(lambda e: e.open_connections == 0, timeout_s=4)  # sooner than a stream lingers
        ada.unmute()
        await ada.say(silence(0.2))
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada")

    assert engine.connections == 2


async def test_a_new_track_of_the_same_person_takes_over(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(LOUD[: 2 * 16_000])
        await ada.unpublish()
        first = await live_room.next_final("ada")
        sid = await ada.publish()
        await ada.say(silence(0.3))
        await ada.say(LOUD[: 2 * 16_000])
        second = await live_room.next_final("ada")

    assert first.track_sid != second.track_sid == sid


async def test_many_quick_mutes_leave_one_pipeline_that_works(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        for _ in range(25):
            ada.mute()
            await ada.say(silence(0.02))
            ada.unmute()
            await ada.say(silence(0.02))
        await ada.say(silence(0.3))
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada")

    assert len({c.segment.id for c in live_room.captions}) == 1
    assert engine.most_open == 1


async def test_many_short_visits_leave_nothing_open(
    livekit_server: LiveKitServer,
    room_name: str,
    running_worker: RunningWorker,
    engine: SttDouble,
    live_room: Viewer,
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada")
        [job] = running_worker.jobs()
        await engine.until(lambda e: e.open_connections == 0)
        files_before = job.num_fds()
        for visit in range(6):
            async with Speaker(livekit_server, room_name, f"guest-{visit % 2}") as guest:
                await guest.say(LOUD[: 1 * 16_000])
        await engine.until(lambda e: e.connections >= 4 and e.open_connections == 0)
        assert job.num_fds() <= files_before + 2


async def test_somebody_who_never_speaks_costs_no_engine_connection(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada, Speaker(livekit_server, room_name, "mum"):
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada")

    assert engine.tried == 1


async def test_an_engine_connection_lingers_for_the_next_sentence_and_then_closes(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        for _ in range(2):
            await ada.say(LOUD[: 2 * 16_000])
            await ada.say(silence(1))
        await live_room.until(lambda v: len(v.finals("ada")) == 2)
        assert engine.connections == 1
        await engine.until(lambda e: e.open_connections == 0, timeout_s=8)


@pytest.mark.parametrize(
    ("rate_hz", "channels", "frame_ms"), [(48_000, 2, 10), (48_000, 1, 20), (44_100, 1, 10), (8_000, 1, 30)]
)
async def test_audio_of_any_shape_is_heard(
    livekit_server: LiveKitServer,
    room_name: str,
    engine: SttDouble,
    live_room: Viewer,
    rate_hz: int,
    channels: int,
    frame_ms: int,
) -> None:
    async with Speaker(
        livekit_server, room_name, "ada", sample_rate_hz=rate_hz, channels=channels, frame_ms=frame_ms
    ) as ada:
        await ada.say(LOUD[: 3 * 16_000])
        final = await live_room.next_final("ada")

    assert {word[:4] for word in final.text.split()} == {"loud"}
    [heard] = engine.utterances
    assert 3.0 <= heard.seconds <= 4.5  # the right pace, with pre-roll and hangover


async def test_clipping_and_an_empty_name_do_no_harm(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer
) -> None:
    clipped = (LOUD.astype("int32") * 20).clip(-32_768, 32_767).astype("int16")
    async with Speaker(livekit_server, room_name, "ada", name="") as ada:
        await ada.say(clipped[: 2 * 16_000])
        final = await live_room.next_final("ada")

    assert final.speaker_name == ""
    assert final.text


async def test_a_monologue_is_cut_into_segments_that_follow_each_other(
    livekit_server: LiveKitServer, room_name: str, engine: SttDouble, live_room: Viewer
) -> None:
    async with Speaker(livekit_server, room_name, "ada") as ada:
        for voice in ("slt", "awb", "rms"):
            await ada.say(at_level(clip(voice), 30_000))
        await ada.say(silence(1))
        await live_room.until(lambda v: len(v.finals("ada")) == len(engine.utterances) >= 2)

    finals = live_room.finals("ada")
    assert max(u.seconds for u in engine.utterances) <= 15.1
    assert [f.sequence for f in finals] == sorted(f.sequence for f in finals)
    assert all(earlier.end_ms <= later.start_ms + 1 for earlier, later in pairwise(finals))


@pytest.mark.parametrize("source", [rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO])
async def test_the_sound_of_a_shared_screen_is_not_transcribed_unless_wanted(
    livekit_server: LiveKitServer,
    room_name: str,
    engine: SttDouble,
    live_room: Viewer,
    source: rtc.TrackSource.ValueType,
) -> None:
    async with (
        Speaker(livekit_server, room_name, "screen", source=source) as screen,
        Speaker(livekit_server, room_name, "ada") as ada,
    ):
        await asyncio.gather(screen.say(LOUD[: 2 * 16_000]), ada.say(LOUD[: 2 * 16_000]))
        await live_room.next_final("ada")

    assert {c.sender for c in live_room.captions} == {"ada"}
    assert engine.tried == 1


async def test_sequences_go_on_where_the_claim_says(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    backend_server: BackendDouble,
    engine: SttDouble,
    room_name: str,
    viewer: Viewer,
) -> None:
    lease = backend_server.lease(room_name, first_sequence=5_001, generation=3)
    await backend_server.dispatch(livekit_server, lease, agent_name=running_worker.agent_name)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        await backend_server.report(lease, state=State.LIVE)
        await ada.say(LOUD[: 2 * 16_000])
        final = await viewer.next_final("ada")
        reported = await backend_server.report(lease, last_sequence=5_001)

    assert final.sequence == 5_001
    assert abs((reported.spoken_at_ms or 0) - time.time() * 1000) < 10_000
    from tests.agents.conftest import end_job

    await end_job(backend_server, lease)


async def test_no_word_name_or_key_is_logged(
    livekit_server: LiveKitServer,
    running_worker: RunningWorker,
    room_name: str,
    engine: SttDouble,
    live_room: Viewer,
) -> None:
    engine.script.word = "xylophone"
    async with Speaker(livekit_server, room_name, "ada-lovelace", name="Augusta") as ada:
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada-lovelace")
        engine.script.fails_next_utterance = True
        await ada.say(LOUD[: 2 * 16_000])
        await live_room.next_final("ada-lovelace")

    log = running_worker.log()
    assert "an engine stream failed" in log
    for secret in (
        "xylophone",
        "Augusta",
        "ada-lovelace",
        livekit_server.api_secret,
        "internal-secret",
        "eyJ",
    ):
        assert secret not in log
