"""A transcript on the page: kept on purpose, known to everybody, read after an absence, without those who opt out."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support.browser import MeetingPage, meeting_page, write_wav
from tests.support.clips import clip, silence
from tests.support.people import joined
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(240)

CORRECTED = "this is what was meant"
MISSED_LINES = 120

SPOKEN_TO_SCREEN_READERS = """
() => [...document.querySelector("room-captions").shadowRoot.querySelectorAll("[aria-live] p")]
  .map((line) => line.textContent)
"""

WHAT_WAS_MISSED = """
import time, uuid
from backend.meetings.models import Meeting
from backend.meetings.services import locked, person_of, take_changes
from backend.transcripts.models import Line
meeting = Meeting.objects.get(room={room!r}, ended_at=None)
bob = person_of(meeting, "bob")
start_ms = int(time.time() * 1000) - 500_000
with locked(meeting) as row:
    first = take_changes(row, {count})
    Line.objects.bulk_create(
        Line(meeting=row, segment_id=uuid.uuid4(), change=first + n, revision=1, sequence=n + 1,
             start_ms=start_ms + 4_000 * n, end_ms=start_ms + 4_000 * n + 3_000, person=bob,
             speaker_identity="bob", speaker_name="Bob", track_sid="TR_bob", language="en", engine="embedded",
             text=f"missed {{n}}")
        for n in range({count})
    )
"""


@pytest.fixture
async def pages(stack: RunningStack, tmp_path: Path) -> AsyncIterator["Pages"]:
    async with AsyncExitStack() as open_pages:
        yield Pages(stack, tmp_path, open_pages)


class Pages:
    """Browsers of people, all closed at the end."""

    def __init__(self, stack: RunningStack, directory: Path, opened: AsyncExitStack) -> None:
        self._stack, self._directory, self._opened = stack, directory, opened

    async def person(
        self,
        room: str,
        name: str,
        *,
        voice: str | None = None,
        is_admin: bool = False,
        subtitles: str = "idle",
    ) -> MeetingPage:
        sound = np.concatenate([silence(1.5), clip(voice), silence(3)]) if voice else None
        microphone = None if sound is None else write_wav(self._directory / f"{name}.wav", sound)
        page = await self._opened.enter_async_context(
            meeting_page(self._stack.base_url, microphone=microphone)
        )
        await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        if is_admin:
            await page.join_as_admin(self._stack.livekit, room=room, name=name)
        else:
            await page.join(room=room, name=name)
        await page.until_state(subtitles)
        return page


async def keep(page: MeetingPage) -> None:
    """Switched on, and said yes to, by keyboard."""
    await page.press_on("keep", "Space")
    await page.part("confirmation").wait_for()
    await page.press_on("confirm", "Enter")


async def until_kept(*pages: MeetingPage, is_kept: bool = True) -> None:
    state = "visible" if is_kept else "hidden"
    await asyncio.gather(*(page.part("kept-notice").wait_for(state=state, timeout=3_000) for page in pages))  # type: ignore[arg-type]


async def copied(page: MeetingPage) -> list[str]:
    """All lines of the transcript, without their times."""
    await page.part("copy").click()
    await page.part("told").filter(has_text="copied").wait_for()
    text = str(await page.page.evaluate("navigator.clipboard.readText()"))
    return [re.sub(r"^\[[^]]+\] ", "", line) for line in text.splitlines()]


async def test_a_transcript_is_kept_for_all_to_know_corrected_found_copied_and_downloaded_by_keyboard(
    pages: Pages,
) -> None:
    ada, bob = await asyncio.gather(
        pages.person("kept", "Ada", voice="slt", is_admin=True), pages.person("kept", "Bob")
    )
    assert await bob.part("keep").get_attribute("aria-disabled") == "true"
    assert await bob.part("download").get_attribute("aria-disabled") == "true"

    await keep(ada)
    await until_kept(ada, bob)
    assert await ada.focused() == "keep"
    for page in (ada, bob):
        assert "transcript is being kept" in await page.part("announced-now").inner_text()
        assert await page.part("keep").get_attribute("aria-checked") == "true"

    await ada.part("start-subtitles").click()
    await asyncio.gather(ada.until_state("live"), bob.until_state("live"))
    await asyncio.gather(ada.until_final("ada"), bob.until_final("ada"))
    await ada.part("mute").click()
    await ada.page.wait_for_function(
        "!document.querySelector('[data-testid=transcript-line][data-final=false]')"
    )

    await ada.press_on("correct", "Enter", "Control+a")
    await ada.page.keyboard.type(CORRECTED)
    await ada.page.keyboard.press("Enter")
    for page in (ada, bob):
        line = page.part("transcript-line").filter(has_text=CORRECTED)
        await line.filter(has_text="Corrected").wait_for()
    assert await ada.focused() == "correct"
    read_out = await bob.page.evaluate(SPOKEN_TO_SCREEN_READERS)
    assert read_out and not [text for text in read_out if CORRECTED in text], "a correction is not speech"

    everything = await copied(bob)
    await bob.press_on("search-toggle", "Enter")
    await bob.page.keyboard.type("MEANT what")
    await bob.part("search-count").filter(has_text=re.compile("^1 line$")).wait_for()
    assert await copied(bob) == [f"Ada: {CORRECTED}"]
    await bob.press_on("search", "Escape")
    assert await bob.focused() == "search-toggle"
    assert await copied(bob) == everything

    async with bob.page.expect_download() as downloading:
        await bob.press_on("download", "ArrowDown", "Enter")
    file = await downloading.value
    assert file.suggested_filename.endswith(".vtt")
    path = Path(await file.path())
    assert CORRECTED in await asyncio.to_thread(path.read_text)

    await ada.press_on("keep", "Space")
    await until_kept(ada, bob, is_kept=False)
    assert "no longer being kept" in await bob.part("announced-now").inner_text()


async def test_a_page_that_comes_or_comes_back_reads_what_it_missed_without_a_gap_or_a_double(
    stack: RunningStack, pages: Pages
) -> None:
    room = "missed"
    ada = await pages.person(room, "Ada", is_admin=True)
    await keep(ada)
    await until_kept(ada)

    stack.manage("shell", "-c", WHAT_WAS_MISSED.format(room=room, count=MISSED_LINES))
    await ada.page.evaluate("dispatchEvent(new Event('online'))")
    cleo = await pages.person(room, "Cleo")

    for page in (ada, cleo):
        await page.page.wait_for_selector(f"[aria-setsize='{MISSED_LINES}']", state="attached")
        assert await copied(page) == [f"Bob: missed {n}" for n in range(MISSED_LINES)]
        assert await page.on_overlay() == [], "what was said before is not shown as if it were said now"


async def test_a_captioners_line_is_on_every_screen_and_what_is_erased_is_read_by_nobody_again(
    stack: RunningStack, pages: Pages
) -> None:
    room, written = "captioned", "a person wrote this line"
    ada, bob = await asyncio.gather(pages.person(room, "Ada", is_admin=True), pages.person(room, "Bob"))
    await keep(ada)
    await ada.part("start-subtitles").click()
    await asyncio.gather(ada.until_state("live"), bob.until_state("live"))

    role = {"roomscribe.role": "captioner"}
    async with joined(stack.livekit, room, "cara", attributes=role):
        token = stack.livekit.token(room, "cara", attributes=role)
        line = {"text": written}
        await asyncio.to_thread(stack.ask, "POST", f"rooms/{room}/segments/", token=token, body=line)
        for page in (ada, bob):
            overlay = page.page.locator("room-captions")
            await overlay.get_by_text(written).first.wait_for(state="attached", timeout=5_000)
            await page.part("transcript-line").filter(has_text=written).wait_for()

    await ada.press_on("privacy-open", "Enter")
    await ada.press_on("erase", "Enter")
    await ada.part("confirmation").wait_for()
    await ada.press_on("confirm", "Enter")
    receipt = re.compile(r"^Erased: segments 1, .* by: participant ada\.$")
    await ada.part("receipt").filter(has_text=receipt).wait_for()

    later = await pages.person(room, "Dana", is_admin=True, subtitles="live")
    await later.part("kept-notice").wait_for()
    page = await asyncio.to_thread(
        stack.ask, "GET", f"rooms/{room}/segments/", token=stack.livekit.token(room, "dana", room_admin=True)
    )
    assert (page["segments"], await later.part("transcript-line").count()) == ([], 0)


async def test_whoever_hides_their_name_or_opts_out_does_so_for_everybody(pages: Pages) -> None:
    ada, bob = await asyncio.gather(
        pages.person("rights", "Ada", is_admin=True), pages.person("rights", "Bob", voice="rms")
    )
    await ada.part("start-subtitles").click()
    await ada.until_state("live")
    identity = await bob.identity_of("Bob")

    await bob.press_on("privacy-open", "Enter")
    assert await bob.focused() == "privacy-title"
    await bob.press_on("hide-name", "Space")
    await bob.part("hide-name-state").filter(has_text="Speaker 1").wait_for()
    await ada.part("transcript-line").filter(has_text="Speaker 1").first.wait_for(timeout=40_000)

    await bob.press_on("caption-me", "Space")
    await bob.part("caption-me-state").filter(has_text="neither captioned nor kept").wait_for()
    await bob.page.keyboard.press("Escape")
    assert await bob.focused() == "privacy-open"
    assert await bob.part("opted-out").is_visible()
    await ada.press_on("privacy-open", "Enter")
    others = ada.page.locator(f"[data-testid=transcribed-person][data-identity='{identity}']")
    assert "opted" not in await others.inner_text(), "what somebody has chosen is not told to others"

    # What was being said then is done with; a whole sentence after it leaves nothing.
    await ada.until_speaking(identity, is_speaking=False)
    await ada.page.wait_for_function(
        "!document.querySelector('[data-testid=transcript-line][data-final=false]')"
    )
    before = len(await ada.shown())
    await ada.until_speaking(identity)
    await ada.until_speaking(identity, is_speaking=False)
    assert len(await ada.shown()) == before
