import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.audio.gate import Gate, GateOptions, Passage
from agents.audio.pcm import FRAME_SAMPLES, Frame

OPTIONS = GateOptions(
    pre_roll_s=0.2,
    voiced_s=0.06,
    hangover_s=0.2,
    soft_cut_after_s=1.0,
    soft_cut_pause_s=0.1,
    hard_cut_after_s=1.6,
)


def numbered(number: int) -> Frame:
    return np.full(FRAME_SAMPLES, number % 30_000, np.int16)


def passages(voice: list[bool], options: GateOptions = OPTIONS) -> list[Passage]:
    gate = Gate(options)
    return [p for number, v in enumerate(voice) if (p := gate.feed(numbered(number), is_voice=v))]


def sent(found: list[Passage]) -> list[int]:
    return [p.first + index for p in found for index in range(len(p.frames))]


def frames(seconds: float) -> int:
    return round(seconds * 50)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=20))
def test_frames_pass_in_order_once_and_as_they_were(runs: list[tuple[bool, int]]) -> None:
    found = passages([is_voice for is_voice, length in runs for _ in range(length)])

    assert sent(found) == sorted(set(sent(found)))
    for passage in found:
        for index, frame in enumerate(passage.frames):
            assert frame[0] == (passage.first + index) % 30_000


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=20))
def test_utterances_begin_and_end_in_turn_and_none_is_longer_than_the_hard_cut(
    runs: list[tuple[bool, int]],
) -> None:
    is_under_way, length = False, 0
    for passage in passages([is_voice for is_voice, length in runs for _ in range(length)]):
        assert passage.begins is not is_under_way
        length = len(passage.frames) + (0 if passage.begins else length)
        is_under_way = not passage.ends
        assert length <= frames(1.6)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=20))
def test_no_voiced_frame_of_running_speech_is_lost(runs: list[tuple[bool, int]]) -> None:
    voice = [is_voice for is_voice, length in runs for _ in range(length)]
    passed = set(sent(passages(voice)))

    long_runs, start = [], 0
    for is_voice, length in runs:
        if is_voice and length >= frames(0.06):
            long_runs += range(start, start + length)
        start += length
    assert set(long_runs) <= passed


def test_nothing_passes_in_silence() -> None:
    assert passages([False] * 500) == []


def test_a_click_does_not_open_the_gate() -> None:
    assert passages(([True] * 2 + [False] * 20) * 10) == []


def test_what_came_just_before_speech_goes_with_it() -> None:
    first = passages([False] * 100 + [True] * 10)[0]

    assert first.begins
    assert first.first == 102 - frames(0.2) + 1  # the third voiced frame opens


def test_an_utterance_ends_after_the_hangover() -> None:
    found = passages([True] * 20 + [False] * 30)

    assert [p.ends for p in found].index(True) == len(found) - 1
    assert sent(found)[-1] == 20 + frames(0.2) - 1


def test_a_monologue_is_cut_at_a_short_pause_and_hard_without_one() -> None:
    with_pause = passages([True] * 60 + [False] * 6 + [True] * 30)
    without = passages([True] * 200)

    assert [p.first for p in with_pause if p.ends] == [64]
    assert [p.first for p in without if p.ends] == [79, 159]
    assert sent(without) == list(range(200))
    assert [p.first for p in without if p.begins] == [0, 80, 160]


def test_closing_tells_whether_an_utterance_was_under_way() -> None:
    gate = Gate(OPTIONS)
    assert not gate.close()
    for number in range(10):
        gate.feed(numbered(number), is_voice=True)
    assert gate.close()
    assert not gate.close()
