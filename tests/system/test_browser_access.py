"""Tokens that end, and pages of other origins, in the browser."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import jwt
import pytest
from aiohttp import web
from playwright.async_api import Request

from tests.support.browser import chromium, meeting_page
from tests.support.people import joined
from tests.support.ports import free_port
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(180)

TTL_S = 12
LISTED_PORT, OTHER_PORT = free_port(), free_port()

ASK_ELSEWHERE = """
async ([url, token, method]) => {
  try {
    const answer = await fetch(url, { method, body: '{"language": "en"}',
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } });
    return { status: answer.status, body: await answer.json() };
  } catch (error) {
    return { status: 0, body: String(error) };
  }
}
"""


@pytest.fixture(scope="module")
def stack_of_short_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(
        tmp_path_factory.mktemp("short") / "data",
        CONNECTION_DETAILS_TTL_S=str(TTL_S),
        CORS_ALLOWED_ORIGINS=f"http://127.0.0.1:{LISTED_PORT}",
    ) as running:
        yield running


def token_of(request: Request) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")


def ends_at(token: str) -> float:
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])


async def test_a_page_stops_subtitles_after_its_first_token_has_ended(
    stack_of_short_tokens: RunningStack,
) -> None:
    async with meeting_page(stack_of_short_tokens.base_url) as page:
        renewed = "**/api/v1.0/connection-details/"
        async with page.page.expect_response(renewed) as joining:
            await page.join(room="long-meeting", name="Ada")
        first = json.loads(await (await joining.value).text())["participant_token"]
        await page.until_state("idle")
        await page.part("start-subtitles").click()
        await page.until_state("live")

        while time.time() < ends_at(first):
            async with page.page.expect_response(renewed, timeout=TTL_S * 1000) as renewal:
                pass
            assert (await renewal.value).status == 201

        async with page.page.expect_request("**/subtitles/") as stopping:
            await page.part("stop-subtitles").click()
        await page.until_state("idle", timeout_s=2)
        assert ends_at(token_of(await stopping.value)) > time.time() > ends_at(first)


@asynccontextmanager
async def other_frontend(port: int) -> AsyncIterator[str]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Another frontend</title>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("port", "is_listed"), [(LISTED_PORT, True), (OTHER_PORT, False)], ids=["listed", "not listed"]
)
async def test_only_a_page_of_a_listed_origin_can_start_change_and_stop_subtitles(
    stack_of_short_tokens: RunningStack, port: int, is_listed: bool
) -> None:
    stack, room = stack_of_short_tokens, f"elsewhere-{port}"
    url = f"{stack.base_url}/api/v1.0/rooms/{room}/subtitles/"
    async with joined(stack.livekit, room, "ada"), other_frontend(port) as address, chromium() as browser:
        page = await browser.new_page()
        await page.goto(address)

        token = stack.livekit.token(room, "ada")
        answers = [
            await page.evaluate(ASK_ELSEWHERE, [url, token, method]) for method in ("POST", "PATCH", "DELETE")
        ]

    assert [answer["status"] for answer in answers] == ([201, 200, 200] if is_listed else [0, 0, 0])
    assert not is_listed or answers[0]["body"]["room"] == room
