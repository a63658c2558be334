"""What a person sees: two browsers in a meeting, from the microphone to words on both screens."""

import asyncio
import difflib
import itertools
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support.browser import MeetingPage, Shown, meeting_page, write_wav
from tests.support.clips import clip, silence, words
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(240)

LEAST_WORDS_RIGHT = 0.5
"""Of what was shown; the recogniser's own accuracy is measured elsewhere."""


def microphone(directory: Path, voice: str) -> Path:
    """Says a sentence, over and over, with pauses for finals in between."""
    return write_wav(directory / f"{voice}.wav", np.concatenate([silence(1.5), clip(voice), silence(3)]))


def lines_of(shown: list[Shown], identity: str) -> dict[str, list[Shown]]:
    by_id: dict[str, list[Shown]] = {}
    for line in shown:
        if line.speaker == identity:
            by_id.setdefault(line.id, []).append(line)
    return by_id


def assert_grew_and_became_final(shown: list[Shown], identity: str, voice: str) -> None:
    """At least one line grew under one id and ended as a final with the words of the recording."""
    grown = [
        line
        for line in lines_of(shown, identity).values()
        if len(line) > 2 and not line[0].final and line[-1].final
    ]
    assert grown, f"no line of {identity} grew and became final"
    for line in grown:
        assert [one.revision for one in line] == sorted({one.revision for one in line})
        interims = [one.text for one in line if not one.final]
        assert all(after.startswith(before) for before, after in itertools.pairwise(interims))
    # Subtitles may have begun in the middle of a sentence, so what was missed is not counted.
    said = " ".join(line[-1].text for line in grown).split()
    spoken = words(voice).split() * 3
    right = difflib.SequenceMatcher(None, spoken, said, autojunk=False).get_matching_blocks()
    assert sum(block.size for block in right) >= LEAST_WORDS_RIGHT * len(said), said


async def test_two_people_read_each_other_and_a_stop_ends_it_for_both(
    stack: RunningStack, tmp_path: Path
) -> None:
    async with AsyncExitStack() as open_pages:

        async def person(name: str, voice: str) -> MeetingPage:
            page = await open_pages.enter_async_context(
                meeting_page(stack.base_url, microphone=microphone(tmp_path, voice))
            )
            await page.join(room="kitchen", name=name)
            return page

        ada, bob = await person("Ada", "slt"), await person("Bob", "rms")
        await asyncio.gather(ada.until_state("idle"), bob.until_state("idle"))
        identities = {name: await ada.identity_of(name) for name in ("Ada", "Bob")}

        await ada.part("start-subtitles").click()
        await asyncio.gather(ada.until_state("live"), bob.until_state("live"))
        for page, identity in itertools.product((ada, bob), identities.values()):
            await page.until_final(identity)

        for page in (ada, bob):
            shown = await page.shown()
            assert_grew_and_became_final(shown, identities["Ada"], "slt")
            assert_grew_and_became_final(shown, identities["Bob"], "rms")
            assert "offline" in await page.part("engine").inner_text()

        await bob.part("stop-subtitles").click()
        await asyncio.gather(ada.until_state("idle", timeout_s=1), bob.until_state("idle", timeout_s=1))

        before = [len(await page.shown()) for page in (ada, bob)]
        # Somebody speaks on, from the beginning of a sentence to its end.
        await bob.until_speaking(identities["Ada"], is_speaking=False)
        await bob.until_speaking(identities["Ada"])
        await bob.until_speaking(identities["Ada"], is_speaking=False)
        assert [len(await page.shown()) for page in (ada, bob)] == before
        for page in (ada, bob):
            assert await page.open_lines().count() == 0


async def test_somebody_without_a_microphone_can_play_sample_speech(stack: RunningStack) -> None:
    async with meeting_page(stack.base_url) as page:
        await page.join(room="no-microphone", name="")
        await page.until_state("idle")
        identity = await page.identity_of("you")

        await page.part("start-subtitles").click()
        await page.until_state("live")
        await page.part("play-sample").click()

        await page.until_final(identity)
        assert len((await page.shown())[-1].text.split()) > 3


async def test_a_microphone_that_is_refused_is_said_plainly(stack: RunningStack) -> None:
    async with meeting_page(stack.base_url) as page:
        await page.join(room="refused", name="Ada")
        if await page.part("notice").count() == 0:
            await page.part("mute").click()

        notice = page.part("notice").first
        await notice.wait_for()
        assert "microphone" in (await notice.inner_text()).lower()


async def test_a_server_that_cannot_be_reached_is_said_plainly(stack: RunningStack) -> None:
    async with meeting_page(stack.base_url) as page:
        await page.page.route("**/connection-details/", lambda route: route.abort())
        await page.page.goto(stack.base_url)
        await page.part("room").fill("anywhere")
        await page.part("join").click()

        error = page.part("join-error")
        await page.page.wait_for_function(
            "document.querySelector('[data-testid=join-error]').textContent !== ''"
        )
        assert "Error" not in await error.inner_text()
