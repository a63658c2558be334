"""The admin in a real browser: an event's engines put in order, a key typed in."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.backend.running_backend import ROOT, RunningBackend
from tests.support.browser import chromium
from tests.support.livekit import LiveKitServer

KEY = "dg-0123456789abcdef"
PASSWORD = "a-password-of-the-test"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def backend(livekit_server: LiveKitServer, tmp_path: Path) -> Iterator[RunningBackend]:
    """With an operator's account."""
    manage = [sys.executable, str(ROOT / "src/backend/manage.py"), "createsuperuser", "--noinput"]
    with RunningBackend(tmp_path, livekit_server) as running:
        subprocess.run(
            [*manage, "--username=operator", "--email=operator@example.org"],
            env={**running.environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
            cwd=ROOT,
            check=True,
        )
        yield running


def on_disk(directory: Path) -> bytes:
    """All that the database has written."""
    return b"".join(file.read_bytes() for file in directory.glob("*.sqlite3*"))


async def chain(page: Page) -> list[str]:
    """The engines as they stand, top to bottom."""
    shown = page.locator(".chain-row:not([hidden]) select")
    return [await select.input_value() for select in await shown.all()]


async def test_engines_are_put_in_order_and_a_key_goes_in_and_does_not_come_out(
    backend: RunningBackend, tmp_path: Path
) -> None:
    async with chromium() as browser:
        page = await browser.new_page(viewport=PHONE)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"{backend.url}/admin/login/?next=/admin/events/event/add/")
        await page.get_by_label("Username").fill("operator")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()

        await page.locator("#id_name").press_sequentially("Spring assembly")
        assert await page.locator("#id_slug").input_value() == "spring-assembly"
        assert await chain(page) == []
        for number, engine in enumerate(("deepgram", "openai", "whisper"), start=1):
            await page.get_by_role("button", name="Add an engine").click()
            await page.get_by_label(f"Engine {number}", exact=True).select_option(engine)
        await page.get_by_role("button", name="Move up").nth(2).click()
        await page.get_by_role("button", name="Move down").nth(0).click()
        assert await chain(page) == ["whisper", "deepgram", "openai"]
        await page.get_by_role("button", name="Take out").nth(0).click()
        await page.get_by_role("button", name="Move up").nth(1).click()
        assert await chain(page) == ["openai", "deepgram"]

        await page.get_by_text("Add another Engine key").click()
        await page.locator("#id_credentials-0-engine").select_option("deepgram")
        await page.locator("#id_credentials-0-key").fill(KEY)
        await page.get_by_role("button", name="Save and continue editing").click()

        await page.get_by_text("was added successfully").wait_for()
        assert await chain(page) == ["openai", "deepgram"]
        key = page.locator("#id_credentials-0-key")
        assert (await key.get_attribute("placeholder"), await key.input_value()) == ("•••• cdef", "")
        assert KEY not in await page.content()
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert problems == []
    assert KEY not in backend.log()
    kept = on_disk(tmp_path)
    assert b"spring-assembly" in kept and KEY.encode() not in kept
