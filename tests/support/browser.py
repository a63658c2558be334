"""The installed Chromium, with a recording as its microphone."""

import json
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Locator, Page, Route, async_playwright

from tests.support.clips import SAMPLE_RATE_HZ
from tests.support.livekit import LiveKitServer

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

    async def join_as_admin(self, server: LiveKitServer, *, room: str, name: str) -> None:
        """With a token as a frontend of one's own hands it out: `connection-details/` makes nobody a room admin."""
        token = server.token(room, name.lower(), name=name, room_admin=True)
        details = {
            "server_url": server.url,
            "participant_token": token,
            "room_name": room,
            "participant_name": name,
        }

        async def hand_out(route: Route) -> None:
            await route.fulfill(status=201, content_type="application/json", body=json.dumps(details))

        await self.page.route("**/connection-details/", hand_out)
        await self.join(room=room, name=name)

    async def focused(self) -> str:
        """Test id of what has the keyboard's focus; empty: nothing of ours."""
        return str(await self.page.evaluate("document.activeElement?.dataset.testid ?? ''"))

    async def press_on(self, test_id: str, *keys: str) -> None:
        """With the keyboard alone."""
        await self.part(test_id).last.focus()
        for key in keys:
            await self.page.keyboard.press(key)

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

    async def transcript(self) -> list[tuple[str, str]]:
        """Id and text of the lines that are drawn now, in order: all of them in a short meeting."""
        lines: list[list[str]] = await self.page.evaluate(
            "() => [...document.querySelectorAll('[data-testid=transcript-line]')]"
            ".map((line) => [line.dataset.segmentId, line.querySelector('p').textContent])"
        )
        return [(line, text) for line, text in lines]

    async def on_overlay(self) -> list[tuple[str, str]]:
        """Id and text of the lines over the meeting."""
        lines: list[list[str]] = await self.page.evaluate(
            "() => [...document.querySelector('room-captions').shadowRoot.querySelectorAll('[part=line]')]"
            ".map((line) => [line.dataset.segmentId, line.textContent])"
        )
        return [(line, text) for line, text in lines]

    async def shown(self) -> list[Shown]:
        lines: list[dict[str, Any]] = await self.page.evaluate("window.shown")
        return [Shown(**line) for line in lines]


@asynccontextmanager
async def meeting_page(base_url: str, *, microphone: Path | None = None) -> AsyncIterator[MeetingPage]:
    async with chromium(microphone) as browser:
        page = await (await browser.new_context()).new_page()
        await page.add_init_script(RECORDER)
        yield MeetingPage(page, base_url)
