"""An event's chain in a real room: Deepgram, then a compatible server, then our own, faults one after the other."""

import asyncio
import itertools
from collections.abc import Iterator

import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.segments import Segment
from contract.status import Reason, State
from tests.support.clips import clip, silence, words
from tests.support.deepgram.markers import with_markers
from tests.support.people import Speaker, Viewer
from tests.support.scripted_deepgram import ScriptedDeepgram
from tests.support.scripted_openai import Script, ScriptedOpenAI
from tests.support.stack import RunningStack

DEEPGRAM_KEY, COMPATIBLE_KEY = "a-key-of-deepgram-0123", "a-key-of-the-other-4567"
HOST = "127.0.0.1"
AN_EVENT = """
from backend.events.models import Event, EventRoom
event = Event.objects.create(slug="summit", name="Summit", chain=["deepgram", "openai_compatible"])
EventRoom.objects.create(event=event, name="{room}")
"""


@pytest.fixture
def deepgram() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        engine.set(accepted_key=DEEPGRAM_KEY)
        yield engine


@pytest.fixture
def compatible() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI(key=COMPATIBLE_KEY) as engine:
        yield engine


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("chain"), ENGINE_ALLOWED_HOSTS=HOST) as stack:
        yield stack


class Talk:
    """Speech that carries numbered words, so that an engine without a model hears them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(101)
        self.said: list[str] = []

    def sentence(self) -> NDArray[np.int16]:
        """Two words and a pause."""
        first, second = next(self._numbers), next(self._numbers)
        self.said += [f"w{first}", f"w{second}"]
        return np.concatenate([with_markers(clip("slt"), [(1.0, first), (2.0, second)]), silence(1.5)])


def numbered(finals: list[Segment]) -> list[str]:
    """The words that carry a number, in the order in which they were said."""
    in_order = sorted(finals, key=lambda final: final.sequence)
    return [word for final in in_order for word in final.text.split() if word[1:].isdigit()]


def engines_of(viewer: Viewer) -> list[str]:
    return [final.engine for final in viewer.finals("ada")]


def status_of(viewer: Viewer) -> tuple[State, Reason | None]:
    status = viewer.notices[-1].status
    return status.state, status.reason


async def talked_until(ada: Speaker, viewer: Viewer, talk: Talk, *, engine: str) -> None:
    """Sentence after sentence, until one comes from this engine."""
    async with asyncio.timeout(60):
        while engines_of(viewer)[-1] != engine:
            await ada.say(talk.sentence())
            await viewer.until(lambda v: numbered(v.finals("ada")) == talk.said, timeout_s=20)


@pytest.mark.timeout(240)
async def test_every_word_is_final_once_by_the_engine_that_was_left_and_by_the_first_one_at_the_end(
    stack: RunningStack, deepgram: ScriptedDeepgram, compatible: ScriptedOpenAI, room_name: str
) -> None:
    store = ("set_engine_key", "--event", "summit")
    await asyncio.to_thread(stack.manage, "shell", "-c", AN_EVENT.format(room=room_name))
    for engine, url, model, key in (
        ("deepgram", deepgram.url, "nova-3", DEEPGRAM_KEY),
        ("openai_compatible", compatible.url, "a-model", COMPATIBLE_KEY),
    ):
        options = ("--engine", engine, "--base-url", url, "--model", model)
        await asyncio.to_thread(stack.manage, *store, *options, given=key)
    talk = Talk()

    async with Viewer(stack.livekit, room_name) as viewer, Speaker(stack.livekit, room_name, "ada") as ada:
        await ada.say(silence(1))
        started = await asyncio.to_thread(stack.subtitles, "POST", room_name)
        assert started["engine"] == "deepgram"
        await viewer.until(lambda v: any(n.status.state is State.LIVE for n in v.notices))

        await ada.say(talk.sentence())
        await viewer.until(lambda v: numbered(v.finals("ada")) == talk.said)
        assert set(engines_of(viewer)) == {"deepgram"}

        # Deepgram is full from the middle of a sentence on.
        speaking = asyncio.create_task(ada.say(talk.sentence()))
        await viewer.until(lambda v: any(talk.said[-2] in caption.segment.text for caption in v.captions))
        deepgram.set(accepts=429, retry_after_s=1)
        deepgram.drop_connections()
        await speaking
        await talked_until(ada, viewer, talk, engine="openai_compatible")
        assert status_of(viewer) == (State.DEGRADED, Reason.AT_CAPACITY)

        # The next one's key is withdrawn: what is said now is heard by our own engine, as speech.
        compatible.follow(Script(accepts=401))
        await ada.say(np.concatenate([clip("awb"), silence(1.5)]))
        await viewer.until(lambda v: engines_of(v)[-1] == "embedded", timeout_s=30)

        by_ours = " ".join(final.text for final in viewer.finals("ada") if final.engine == "embedded")
        assert jiwer.wer(words("awb"), by_ours) <= 0.25

        # Numbers are nothing to our own engine, so none are said before the first one is back.
        deepgram.set(accepts=None)
        async with asyncio.timeout(60):
            while status_of(viewer) != (State.LIVE, None):
                await ada.say(np.concatenate([clip("awb"), silence(1.5)]))
        await talked_until(ada, viewer, talk, engine="deepgram")
        finals = viewer.finals("ada")

    assert numbered(finals) == talk.said
    logs = [path.read_text(errors="replace") for path in (stack.data_dir / "log").glob("*.log")]
    assert logs and not any(key in log for log in logs for key in (DEEPGRAM_KEY, COMPATIBLE_KEY))
