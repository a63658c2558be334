"""Real people, read from SPEECH_DIR. What was measured is in docs/explanation/embedded-recogniser.md."""

import os
from pathlib import Path

import pytest

from tests.support.audio_files import pcm_and_text
from tests.support.speech import RunningSpeech, realtime
from tests.support.words import word_error_rate

CLIPS = sorted(Path(os.environ["SPEECH_DIR"]).glob("*.txt"))


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
async def test_a_human_clip_is_read_live_without_falling_behind(speech: RunningSpeech, clip: Path) -> None:
    pcm, text = pcm_and_text(clip)
    async with realtime(speech) as client:
        said = await client.say(pcm)
        assert client.deltas
        assert said
        assert word_error_rate(text, said) <= 1.0


async def test_human_speech_is_read_better_than_by_the_recogniser_as_it_comes(speech: RunningSpeech) -> None:
    rates = []
    for clip in CLIPS:
        pcm, text = pcm_and_text(clip)
        async with realtime(speech) as client:
            rates.append(word_error_rate(text, await client.say(pcm, real_time=False)))
    # As it comes, live, it reads those of the project's measurements at 49 % on average.
    assert sum(rates) / len(rates) <= 0.45
