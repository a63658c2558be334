"""The view of a meeting in a browser, without a room: tests say what the room sends."""

import functools
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page

from contract import names
from contract.segments import Segment
from tests.support.browser import chromium

FRONTEND = Path(__file__).resolve().parents[2] / "src/frontend"

Message = dict[str, Any]


def message(segment: Segment) -> Message:
    """As the library is told of a text stream."""
    return {
        "topic": names.TOPIC_TRANSCRIPTION,
        "senderIdentity": segment.speaker_identity,
        "text": segment.text,
        "attributes": segment.to_attributes(),
    }


def build_stage(directory: Path) -> Path:
    """Built as the page is; tests/stage/stage.ts stands for the room."""
    command = ["npx", "vite", "build", "--config", "tests/stage/vite.config.ts", "--logLevel", "warn"]
    subprocess.run([*command, "--outDir", str(directory)], cwd=FRONTEND, check=True, timeout=120)
    return directory


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Its address."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="stage")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class Stage:
    def __init__(self, page: Page) -> None:
        self.page = page

    async def receive(self, *segments: Segment) -> None:
        await self.page.evaluate("messages => stage.receive(messages)", [message(one) for one in segments])

    async def timed(
        self, segments: Sequence[Segment], *, every_ms: float, planted_ms: float = 0
    ) -> list[dict[str, float]]:
        """`textMs` and `frameMs` of each, from its arrival."""
        took: list[dict[str, float]] = await self.page.evaluate(
            "([messages, everyMs, plantedMs]) => stage.timed(messages, everyMs, plantedMs)",
            [[message(one) for one in segments], every_ms, planted_ms],
        )
        return took

    async def transcript_nodes(self) -> int:
        """Elements and texts of the whole transcript."""
        nodes: int = await self.page.evaluate("stage.nodesOf(document.querySelector('.transcript'))")
        return nodes

    def part(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)


@asynccontextmanager
async def stage(
    address: str,
    *,
    width: int = 1280,
    height: int = 800,
    is_dark: bool = False,
) -> AsyncIterator[Stage]:
    """`address` as `served` tells it."""
    async with chromium() as browser:
        scheme = "dark" if is_dark else "light"
        page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        await page.goto(address)
        await page.wait_for_function("window.stage !== undefined")
        yield Stage(page)
