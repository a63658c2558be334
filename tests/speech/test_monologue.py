"""Ten minutes without the client ever ending the utterance."""

import itertools

import psutil
import pytest

from tests.speech.test_process import decoders
from tests.support.speech import RunningSpeech, realtime, sample
from tests.support.words import word_error_rate

MONOLOGUE_S = 600
PAUSE = bytes(8 * 32_000)


@pytest.mark.timeout(400)
async def test_a_ten_minute_monologue_is_understood_to_its_end(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pcm, text = b"", ""
    for voice in itertools.cycle(("slt", "awb")):
        clip, words = sample(voice)
        pcm, text = pcm + clip + PAUSE, f"{text} {words}".strip()
        if len(pcm) > MONOLOGUE_S * 32_000:
            break
    with RunningSpeech(tmp_path, sessions=1) as speech:
        (decoder,) = decoders(speech)
        async with realtime(speech) as client:
            before = memory_mb(decoder)
            said = await client.say(pcm, frame_s=0.1, real_time=False)
            assert word_error_rate(text, said) <= 0.15
            assert len(client.deltas) > MONOLOGUE_S / 10
            # The decoder is handed the utterance in parts, so what it holds does not grow with its length.
            assert memory_mb(decoder) - before < 80
            assert (await client.say(sample("slt")[0], real_time=False)).startswith("good morning")


def memory_mb(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss / 2**20)
