"""A sample clip in place of the microphone, and what is heard afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit import rtc

from tests.support.browser import MeetingPage, meeting_page, write_wav
from tests.support.clips import silence
from tests.support.people import joined
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(120)

# Counts microphones that were opened, and says whether a clip has begun or is over where a selector finds it.
WATCH = """
window.opened = 0;
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => { window.opened += 1; return open(wanted); };
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (at) {
  document.documentElement.dataset.clip = "begun";
  return start.call(this, at);
};
const close = AudioContext.prototype.close;
AudioContext.prototype.close = async function () {
  await close.call(this);
  document.documentElement.dataset.clip = "over";
};
"""

PUBLISHING_FAILS_ONCE = """() => {
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function () {
    RTCPeerConnection.prototype.addTransceiver = addTransceiver;
    throw new Error("no sender");
  };
}"""


@asynccontextmanager
async def ada_speaking(stack: RunningStack, directory: Path, *, room: str) -> AsyncIterator[MeetingPage]:
    microphone = write_wav(directory / "silence.wav", silence(1))
    async with meeting_page(stack.base_url, microphone=microphone) as page:
        await page.page.add_init_script(WATCH)
        await page.join(room=room, name="Ada")
        await until_muted(page, is_muted=False)
        yield page


async def until_muted(page: MeetingPage, *, is_muted: bool) -> None:
    await page.page.wait_for_selector(f"[data-testid=mute][data-muted={str(is_muted).lower()}]")


async def until_clip_is_over(page: MeetingPage) -> None:
    await page.page.wait_for_selector("html[data-clip=over]")


async def play(page: MeetingPage) -> None:
    """Until others hear the sample."""
    await page.part("play-sample").click()
    await page.page.wait_for_selector("html[data-clip=begun]")


async def test_who_was_muted_before_a_sample_is_not_heard_after_it_until_they_unmute(
    stack: RunningStack, tmp_path: Path
) -> None:
    room, published = "muted-sample", list[str]()
    async with joined(stack.livekit, room, "bob") as bob:

        @bob.on("track_published")
        def _(publication: rtc.RemoteTrackPublication, _: rtc.RemoteParticipant) -> None:
            published.append(publication.name)

        async with ada_speaking(stack, tmp_path, room=room) as page:
            await page.part("mute").click()
            await until_muted(page, is_muted=True)
            await play(page)
            await page.part("play-sample").click()
            await until_clip_is_over(page)
            await until_muted(page, is_muted=True)
            assert await page.page.evaluate("window.opened") == 1

            await page.part("mute").click()
            await until_muted(page, is_muted=False)
            await page.page.wait_for_function("window.opened === 2")
    assert published[1] == "sample"
    assert len(published) == 3


async def test_leaving_during_a_sample_opens_no_microphone_after_the_goodbye(
    stack: RunningStack, tmp_path: Path
) -> None:
    async with ada_speaking(stack, tmp_path, room="goodbye") as page:
        await play(page)
        await page.part("leave").click()
        await page.part("join-view").wait_for()
        await until_clip_is_over(page)
        # Whatever follows the clip's end begins within the same task.
        await page.page.evaluate("new Promise((done) => setTimeout(done))")
        assert await page.page.evaluate("window.opened") == 1


async def test_a_sample_that_cannot_be_published_gives_the_microphone_back_and_says_so(
    stack: RunningStack, tmp_path: Path
) -> None:
    async with ada_speaking(stack, tmp_path, room="no-sender") as page:
        await page.page.evaluate(PUBLISHING_FAILS_ONCE)
        await page.part("play-sample").click()

        await until_clip_is_over(page)
        await until_muted(page, is_muted=False)
        await page.page.wait_for_function("window.opened === 2")
        await page.part("notice").filter(has_text="sample").first.wait_for()
