"""What the page says of the subtitles is what the server says, a second later at most."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Route

from tests.backend.running_service import RunningService, Watch, watching
from tests.support.browser import MeetingPage, meeting_page
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.timeout(180)

WITHIN_S = 1.0


@pytest.fixture(scope="module")
def service(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("service"), livekit_server) as running:
        yield running


async def until_shown(
    page: MeetingPage, watch: Watch, state: str, reason: str | None = None, *, words: str
) -> None:
    await watch.until_answered(state, reason)
    await page.until_state(state, timeout_s=WITHIN_S)
    await page.until_said(words, timeout_s=WITHIN_S)


async def test_the_page_follows_from_no_worker_to_live_to_a_loss_and_to_a_stop(
    service: RunningService, room_name: str
) -> None:
    async with (
        watching(service, room_name, "bob") as watch,
        meeting_page(service.backend.url) as page,
    ):
        await page.join(room=room_name, name="Ada")
        await page.until_state("idle")

        await page.part("start-subtitles").click()
        await until_shown(page, watch, "waiting_for_worker", "no_worker", words="No transcriber is running")

        with service.worker() as worker:
            await until_shown(page, watch, "live", words="Subtitles are on")
            worker.process.kill()
            worker.process.wait()
            await until_shown(
                page, watch, "waiting_for_worker", "no_worker", words="No transcriber is running"
            )

        with service.worker():
            await until_shown(page, watch, "live", words="Subtitles are on")
            stopped = await service.ask("DELETE", room_name, "bob")
            assert stopped.status == 200
            await until_shown(page, watch, "idle", words="Subtitles are off")
            assert await page.part("start-subtitles").is_visible()

        assert watch.disagreements(within_s=WITHIN_S) == []


async def test_one_language_is_nothing_to_choose(service: RunningService, room_name: str) -> None:
    async with meeting_page(service.backend.url) as page:
        await page.join(room=room_name, name="Ada")
        await page.until_state("idle")

        assert not await page.part("language").is_visible()


async def test_of_several_languages_one_is_chosen_and_changed(
    service: RunningService, room_name: str
) -> None:
    """The server's own has one; the page is told of more, and what it then asks for is looked at."""
    asked: list[tuple[str, str | None]] = []
    async with meeting_page(service.backend.url) as page:
        await page.page.route("**/api/v1.0/config/", _with_french)
        page.page.on("request", lambda request: asked.append((request.method, request.post_data)))
        await page.join(room=room_name, name="Ada")
        await page.until_state("idle")
        assert await page.part("language").locator("option").all_inner_texts() == ["English", "French"]

        await page.part("start-subtitles").click()
        await page.until_state("waiting_for_worker")
        await page.part("language").select_option("fr")
        await page.until_noticed("This language is not available on this server.")

        assert ("POST", '{"language":"en"}') in asked
        assert ("PATCH", '{"language":"fr"}') in asked
        assert await page.part("language").input_value() == "en"
        await page.part("stop-subtitles").click()
        await page.until_state("idle")


async def _with_french(route: Route) -> None:
    answer = await route.fetch()
    config = await answer.json()
    config["engines"][0]["languages"] = ["en", "fr"]
    await route.fulfill(response=answer, json=config)
