"""`STT_PROVIDER=deepgram make run`: a room is captioned by the engine that was chosen, or by the one that steps in."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import jiwer
import numpy as np
import pytest

from contract.status import State
from tests.support.clips import clip, silence, words
from tests.support.deepgram.markers import with_markers
from tests.support.people import Speaker, Viewer
from tests.support.scripted_deepgram import ScriptedDeepgram
from tests.support.stack import RunningStack

KEY = "a-key-of-deepgram"


@pytest.fixture(scope="module")
def deepgram() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        engine.set(accepted_key=KEY)
        yield engine


@pytest.fixture(scope="module")
def stack(deepgram: ScriptedDeepgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(
        tmp_path_factory.mktemp("engine"), STT_PROVIDER="deepgram", STT_BASE_URL=deepgram.url, STT_API_KEY=KEY
    ) as stack:
        yield stack


async def test_the_chosen_engine_captions_and_the_embedded_one_steps_in_while_it_is_away(
    stack: RunningStack, deepgram: ScriptedDeepgram, room_name: str
) -> None:
    def state_of_room() -> dict[str, Any]:
        return stack.subtitles("GET", room_name)

    marked = with_markers(clip("slt"), [(1.0, 123), (2.0, 456)])
    async with Viewer(stack.livekit, room_name) as viewer, Speaker(stack.livekit, room_name, "ada") as ada:
        await ada.say(silence(1))
        started = await asyncio.to_thread(stack.subtitles, "POST", room_name)
        await viewer.until(lambda v: any(n.status.state is State.LIVE for n in v.notices))
        await ada.say(np.concatenate([marked, silence(1)]))
        await viewer.until(lambda v: [f.text for f in v.finals("ada")] == ["w123 w456"])
        assert (await asyncio.to_thread(state_of_room))["engine"] == started["engine"] == "deepgram"

        deepgram.set(accepts=429, retry_after_s=30)
        deepgram.drop_connections()
        await ada.say(np.concatenate([clip("awb"), silence(1)]))
        await viewer.until(lambda v: len(v.finals("ada")) == 2)
        told = await asyncio.to_thread(state_of_room)
    last = viewer.finals("ada")[1]

    assert (told["state"], told["engine"], told["reason"]) == ("degraded", "embedded", "at_capacity")
    assert last.engine == "embedded"
    assert jiwer.wer(words("awb"), last.text) <= 0.25


def test_a_page_is_told_the_chain_and_the_languages_of_its_first_engine(stack: RunningStack) -> None:
    with urllib.request.urlopen(f"{stack.base_url}/api/v1.0/config/", timeout=5) as answer:
        engines = json.load(answer)["engines"]

    assert [engine["id"] for engine in engines] == ["deepgram", "embedded"]
    assert {"en", "de", "fr"} <= set(engines[0]["languages"])
    assert engines[1]["languages"] == ["en"]


def test_the_key_is_in_no_log(stack: RunningStack) -> None:
    logs = [path.read_text(errors="replace") for path in (stack.data_dir / "log").glob("*.log")]

    assert logs and not any(KEY in log for log in logs)
