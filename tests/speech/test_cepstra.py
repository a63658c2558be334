import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketsphinx import Decoder

from speech.engines.cepstra import CEPSTRA, Cepstra
from speech.engines.voice_mean import AVERAGE_VOICE, VoiceMean
from tests.support.speech import sample


def samples(voice: str) -> np.ndarray:
    return np.frombuffer(sample(voice)[0], dtype="<i2")


@pytest.fixture(scope="module")
def short() -> np.ndarray:
    return samples("awb")[:16_000]


def test_the_numbers_are_those_of_pocketsphinx_own_front_end(tmp_path) -> None:  # type: ignore[no-untyped-def]
    decoder = Decoder(samprate=16_000, loglevel="FATAL", mfclogdir=str(tmp_path))
    decoder.start_utt()
    decoder.process_raw(samples("slt").tobytes(), full_utt=True)
    decoder.end_utt()
    (logged,) = tmp_path.iterdir()
    theirs = np.frombuffer(logged.read_bytes(), dtype=">f4")
    theirs = theirs[len(theirs) % CEPSTRA :].reshape(-1, CEPSTRA)
    ours = Cepstra().feed(samples("slt"))
    assert np.abs(ours - theirs[: len(ours)]).max() < 1e-3


@given(cuts=st.lists(st.integers(0, 16_000), max_size=20))
@settings(deadline=None, max_examples=20)
def test_frames_of_any_size_give_the_same_numbers(short: np.ndarray, cuts: list[int]) -> None:
    cepstra = Cepstra()
    pieces = [cepstra.feed(piece) for piece in np.split(short, sorted(cuts))]
    assert np.allclose(np.concatenate(pieces), Cepstra().feed(short))


@pytest.mark.parametrize("level", [0, 32_767, -32_768])
def test_silence_and_clipping_give_finite_numbers(level: int) -> None:
    cepstra = Cepstra()
    for _ in range(3):
        assert np.isfinite(cepstra.feed(np.full(8_000, level, dtype=np.int16))).all()


def test_an_unknown_voice_is_the_average_until_it_speaks(short: np.ndarray) -> None:
    voice = VoiceMean(())
    assert np.allclose(voice.so_far(), AVERAGE_VOICE)
    voice.hear(Cepstra().feed(short))
    assert not np.allclose(voice.so_far(), AVERAGE_VOICE, atol=1)


def test_a_known_voice_is_believed_more_than_the_average(short: np.ndarray) -> None:
    frames = Cepstra().feed(short)
    known, unknown = VoiceMean((0.0,) * CEPSTRA), VoiceMean(())
    for voice in (known, unknown):
        voice.hear(frames)
    assert abs(known.so_far()[0]) < abs(unknown.so_far()[0] - AVERAGE_VOICE[0]) + AVERAGE_VOICE[0] / 2


def test_pauses_say_nothing_of_the_voice(short: np.ndarray) -> None:
    frames = Cepstra().feed(short)
    silence = np.full((200, CEPSTRA), -100.0)
    spoken, paused = VoiceMean(()), VoiceMean(())
    spoken.hear(frames)
    paused.hear(np.concatenate([frames, silence]))
    assert np.allclose(spoken.in_hindsight(), paused.in_hindsight(), atol=4)
    assert paused.ends_in_pause(0.4)
