"""Who reloads the page, or comes late, reads what was said before."""

from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support.browser import MeetingPage, meeting_page, write_wav
from tests.support.clips import clip, silence
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(240)

LINES = 3


async def until_lines(page: MeetingPage, count: int) -> None:
    """So many lines, the last of them final."""
    await page.page.wait_for_function(
        """count => {
          const lines = [...document.querySelectorAll("[data-testid=transcript-line]")];
          return lines.length >= count && lines.slice(0, count).every(({ dataset }) => dataset.final === "true");
        }""",
        arg=count,
        timeout=90_000,
    )


async def test_a_reloaded_page_and_a_late_one_show_what_was_said_once_and_in_order(
    stack: RunningStack, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "slt.wav", np.concatenate([silence(1.5), clip("slt"), silence(3)]))
    room = "reload"
    async with AsyncExitStack() as open_pages:
        ada = await open_pages.enter_async_context(meeting_page(stack.base_url, microphone=sound))
        bob = await open_pages.enter_async_context(meeting_page(stack.base_url))
        await ada.join(room=room, name="Ada")
        await bob.join(room=room, name="Bob")
        await bob.until_state("idle")
        await bob.part("start-subtitles").click()
        await bob.until_state("live")
        await until_lines(bob, LINES)
        # What was said once is all there is: nobody speaks on while the two are compared.
        await ada.part("mute").click()
        await bob.page.wait_for_function(
            "!document.querySelector('[data-testid=transcript-line][data-final=false]')"
        )
        before = await bob.transcript()
        assert len(before) >= LINES

        await bob.page.reload()
        await bob.join(room=room, name="Bob")
        await until_lines(bob, len(before))
        assert await bob.transcript() == before
        assert await bob.on_overlay() == [], "what was said before is not shown as if it were said now"

        cleo = await open_pages.enter_async_context(meeting_page(stack.base_url))
        await cleo.join(room=room, name="Cleo")
        await until_lines(cleo, len(before))
        assert await cleo.transcript() == before

        # And it goes on: lines of the backlog and new ones, each once.
        await ada.part("mute").click()
        for page in (bob, cleo):
            await until_lines(page, len(before) + 1)
            assert (await page.transcript())[: len(before)] == before
            lines = [line for line, _ in await page.transcript()]
            assert len(lines) == len(set(lines))
