import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.audio.clock import AudioClock, SentAudio, WallClock
from agents.audio.gate import Passage
from agents.audio.pcm import FRAME_MS, FRAME_SAMPLES, Chunker
from agents.audio.unconfirmed import Unconfirmed
from agents.audio.vad import VoiceDetector
from tests.support.clips import at_level, clip, silence

FRAME = np.zeros(FRAME_SAMPLES, np.int16)


@given(st.lists(st.integers(0, 1_500), max_size=30))
def test_frames_of_any_size_are_cut_into_whole_ones_without_loss(sizes: list[int]) -> None:
    samples = np.arange(sum(sizes), dtype=np.int16)
    chunker, given_so_far, out = Chunker(FRAME_SAMPLES), 0, []
    for size in sizes:
        out += chunker.feed(samples[given_so_far : given_so_far + size])
        given_so_far += size

    assert all(piece.size == FRAME_SAMPLES for piece in out)
    joined = np.concatenate(out) if out else np.empty(0, np.int16)
    assert np.array_equal(joined, samples[: joined.size])
    assert samples.size - joined.size < FRAME_SAMPLES


def voiced_share(pcm: np.ndarray) -> float:
    detector = VoiceDetector()
    pieces = Chunker(FRAME_SAMPLES).feed(pcm)
    return float(np.mean([detector.is_voice(piece) for piece in pieces]))


def test_the_detector_tells_speech_from_silence_noise_and_clipping() -> None:
    noise = (np.random.default_rng(1).standard_normal(5 * 16_000) * 300).astype(np.int16)

    assert voiced_share(clip("slt")) > 0.6
    assert voiced_share(silence(5)) == 0
    assert voiced_share(noise) < 0.05
    assert voiced_share(np.clip(clip("rms").astype(np.int32) * 20, -32_768, 32_767).astype(np.int16)) > 0.5
    assert voiced_share(at_level(clip("awb"), 1_500)) > 0.5


def test_late_frames_do_not_move_the_time_of_what_was_said() -> None:
    clock = AudioClock()
    for number in range(1, 51):
        clock.heard(frames=number, now_ms=1_000 + number * FRAME_MS)
    for number in range(51, 151):  # a stall of 2 s, then all at once
        clock.heard(frames=number, now_ms=1_000 + 150 * FRAME_MS)
    for number in range(151, 600):
        clock.heard(frames=number, now_ms=1_000 + number * FRAME_MS)

    assert clock.utc_ms(100) == 1_000 + 100 * FRAME_MS


def test_lost_frames_move_the_time_on() -> None:
    clock = AudioClock()
    for number in range(1, 101):
        clock.heard(frames=number, now_ms=number * FRAME_MS)
    for number in range(101, 1_101):  # 2 s were never delivered
        clock.heard(frames=number, now_ms=2_000 + number * FRAME_MS)

    assert abs(clock.utc_ms(1_100) - (2_000 + 1_100 * FRAME_MS)) <= 60


def test_seconds_of_an_engine_stream_lead_back_to_the_track() -> None:
    sent = SentAudio()
    for frame in [*range(100, 150), *range(500, 550)]:
        sent.sent(frame)

    assert sent.frame_at(0.0) == 100
    assert sent.frame_at(0.5) == 125
    assert sent.frame_at(1.0) == 500
    assert sent.end_of(1.0) == 150
    assert sent.end_of(2.0) == 550
    assert sent.end_of(99.0) == 550
    assert sent.end_of(-1.0) == sent.end_of(float("nan")) == sent.end_of(float("inf")) == 100


def passage(first: int, count: int, *, begins: bool = False, ends: bool = False) -> Passage:
    return Passage(first=first, frames=(FRAME,) * count, begins=begins, ends=ends)


def taken(audio: Unconfirmed) -> list[int]:
    return [piece.number for piece in iter(audio.take, None)]


def test_each_frames_time_in_an_engine_stream_leads_back_to_just_that_frame() -> None:
    sent = SentAudio()
    for number in range(1000):
        sent.sent(2 * number)

    assert [sent.end_of(n * 0.02) - 1 for n in range(1, 1000)] == [2 * (n - 1) for n in range(1, 1000)]
    assert [sent.frame_at(n * 0.02) for n in range(1000)] == [2 * n for n in range(1000)]


def test_what_no_final_has_confirmed_is_given_again() -> None:
    audio = Unconfirmed()
    audio.add(passage(0, 3, begins=True, ends=True))
    audio.add(passage(10, 2, begins=True))
    assert taken(audio) == [0, 1, 2, 10, 11]

    audio.confirm(1)
    audio.rewind()

    assert taken(audio) == [10, 11]
    audio.confirm(2)
    assert audio.is_empty


def test_unconfirmed_audio_is_bounded_and_what_is_dropped_is_counted() -> None:
    audio = Unconfirmed(limit_frames=100)
    for number in range(0, 300, 10):
        audio.add(passage(number, 10, begins=number % 50 == 0, ends=number % 50 == 40))

    assert taken(audio) == list(range(200, 300))
    assert audio.dropped_frames == 200


def test_an_utterance_cut_short_still_gets_its_end() -> None:
    audio = Unconfirmed()
    audio.add(passage(0, 2, begins=True))
    assert taken(audio) == [0, 1]

    audio.end()

    [last] = list(iter(audio.take, None))
    assert last.ends and last.frame.size == 0


def test_audio_that_a_final_covers_is_not_given_again_and_none_is_passed_over() -> None:
    audio = Unconfirmed()
    audio.add(passage(0, 50, begins=True))
    for _ in range(30):
        audio.take()

    audio.confirm_before(20)
    assert audio.is_owed
    audio.confirm_before(40)  # more than this stream was given: an engine may say what it likes
    assert not audio.is_owed
    assert taken(audio) == list(range(30, 50))
    audio.rewind()
    assert taken(audio) == list(range(30, 50))
    assert audio.dropped_frames == 0


def test_audio_that_went_before_its_utterance_was_confirmed_is_noticed_once() -> None:
    audio = Unconfirmed(limit_frames=100)
    audio.add(passage(0, 50, begins=True, ends=True))
    assert not audio.rewind()
    audio.add(passage(60, 51, begins=True))  # one too many

    assert audio.rewind()
    assert not audio.rewind()
    audio.add(passage(111, 1))
    assert audio.rewind()


def test_audio_that_went_from_an_utterance_confirmed_since_is_not_missed() -> None:
    audio = Unconfirmed(limit_frames=100)
    audio.add(passage(0, 50, begins=True, ends=True))
    audio.add(passage(60, 51, begins=True))
    audio.confirm(1)

    assert not audio.rewind()


def test_a_step_of_the_machines_clock_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WallClock()
    before_ms = clock.now_ms()
    stepped_s = time.time() + 45
    monkeypatch.setattr(time, "time", lambda: stepped_s)

    assert 0 <= clock.now_ms() - before_ms < 5_000


def test_what_another_agent_has_heard_is_skipped_with_the_silence_it_ended_in() -> None:
    unconfirmed = Unconfirmed()
    unconfirmed.add(Passage(first=0, frames=(FRAME,) * 40, begins=True, ends=False))
    unconfirmed.add(Passage(first=40, frames=(FRAME,), begins=False, ends=True))
    unconfirmed.add(Passage(first=100, frames=(FRAME,) * 30, begins=True, ends=False))

    unconfirmed.skip_before(35)

    piece = unconfirmed.take()
    assert piece is not None and piece.number == 100
    assert unconfirmed.dropped_frames == 0


def test_what_was_said_after_another_agent_has_stopped_is_kept() -> None:
    unconfirmed = Unconfirmed()
    unconfirmed.add(Passage(first=0, frames=(FRAME,) * 60, begins=True, ends=False))

    unconfirmed.skip_before(35)

    piece = unconfirmed.take()
    assert piece is not None and piece.number == 35
