"""The installed Chromium, with a recording as its microphone."""

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Locator, Page, async_playwright

from tests.support.clips import SAMPLE_RATE_HZ

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Pages play each other's sound without anybody having clicked.
    "--autoplay-policy=no-user-gesture-required",
    # LiveKit is on this machine: its address must not be hidden behind a name nobody resolves.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def write_wav(path: Path, pcm: NDArray[np.int16]) -> Path:
    """(n,) int16, mono, 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.tobytes())
    return path


def installed_chromium() -> str:
    return next(found for name in CHROMIUM if (found := shutil.which(name)))


@asynccontextmanager
async def chromium(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """`microphone` plays over and over; without one, pages are refused a microphone."""
    arguments = [*ARGUMENTS]
    if microphone:
        arguments += [*MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed_chromium(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


# Everything the transcript ever showed, as it changed; read by `shown`.
RECORDER = """
window.shown = [];
addEventListener("DOMContentLoaded", () => {
  const note = () => {
    for (const line of document.querySelectorAll("[data-testid=transcript-line]")) {
      const now = {
        id: line.dataset.segmentId, speaker: line.dataset.speaker, final: line.dataset.final === "true",
        revision: Number(line.dataset.revision), text: line.querySelector("p").textContent,
      };
      const before = window.shown.findLast((one) => one.id === now.id);
      if (!before || before.revision !== now.revision) window.shown.push(now);
    }
  };
  new MutationObserver(note).observe(document.querySelector("[data-testid=transcript-lines]"),
    { subtree: true, childList: true, attributes: true, characterData: true });
});
"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One revision of a line of the transcript."""

    id: str
    speaker: str
    final: bool
    revision: int
    text: str


class MeetingPage:
    """The meeting page, as a person uses it."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page, self._base_url = page, base_url

    def part(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    async def join(self, *, room: str, name: str) -> None:
        await self.page.goto(self._base_url)
        await self.part("name").fill(name)
        await self.part("room").fill(room)
        await self.part("join").click()
        await self.part("meeting-view").wait_for()

    async def until_state(self, state: str, *, timeout_s: float = 20) -> None:
        await self.page.wait_for_selector(
            f"[data-testid=state][data-state={state}]", state="attached", timeout=timeout_s * 1000
        )

    async def until_said(self, words: str, *, timeout_s: float = 20) -> None:
        """In the line that says how the subtitles are."""
        await self.part("state").filter(has_text=words).wait_for(state="attached", timeout=timeout_s * 1000)

    async def until_noticed(self, words: str, *, timeout_s: float = 5) -> None:
        """In a notice on the page."""
        await self.part("notices").filter(has_text=words).wait_for(timeout=timeout_s * 1000)

    async def identity_of(self, name: str) -> str:
        person = self.page.locator("[data-testid=participant]", has_text=name)
        return str(await person.first.get_attribute("data-identity", timeout=10_000))

    async def until_speaking(self, identity: str, *, is_speaking: bool = True) -> None:
        await self.page.wait_for_selector(
            f"[data-testid=participant][data-identity={identity}][data-speaking={str(is_speaking).lower()}]",
            timeout=40_000,
        )

    async def until_final(self, identity: str, *, timeout_s: float = 40) -> None:
        await self.page.wait_for_selector(
            f"[data-testid=transcript-line][data-speaker={identity}][data-final=true]",
            state="attached",
            timeout=timeout_s * 1000,
        )

    def open_lines(self) -> Locator:
        """Lines of the transcript that are not final."""
        return self.page.locator("[data-testid=transcript-line][data-final=false]")

    async def shown(self) -> list[Shown]:
        lines: list[dict[str, Any]] = await self.page.evaluate("window.shown")
        return [Shown(**line) for line in lines]


@asynccontextmanager
async def meeting_page(base_url: str, *, microphone: Path | None = None) -> AsyncIterator[MeetingPage]:
    async with chromium(microphone) as browser:
        page = await (await browser.new_context()).new_page()
        await page.add_init_script(RECORDER)
        yield MeetingPage(page, base_url)
