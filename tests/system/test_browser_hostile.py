"""A hostile participant, and what the page makes of it."""

import json
import uuid

import pytest
from livekit import rtc

from contract import names
from contract.segments import Segment
from tests.support.browser import MeetingPage, meeting_page
from tests.support.people import joined
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(120)

OWN_WORDS = "this is what mallory says of themself"
BOBS_WORDS = "this is what bob said before"


def segment(speaker: str, text: str, **changes: object) -> Segment:
    fields: dict[str, object] = {
        "id": str(uuid.uuid4()), "track_sid": "TR_forged", "sequence": 1, "revision": 0, "is_final": True,
        "speaker_identity": speaker, "speaker_name": "Ada", "language": "en", "start_ms": 1, "end_ms": 2,
        "engine": "embedded", "text": text, **changes,
    }  # fmt: skip
    return Segment(**fields)  # type: ignore[arg-type]


async def publish(room: rtc.Room, said: Segment, **changes: str) -> None:
    writer = await room.local_participant.stream_text(
        topic=names.TOPIC_TRANSCRIPTION,
        attributes={**said.to_attributes(), **changes},
        sender_identity=said.speaker_identity,
    )
    await writer.write(said.text)
    await writer.aclose()


async def until_read(page: MeetingPage, text: str) -> None:
    await page.page.locator("[data-testid=transcript-line]", has_text=text).first.wait_for()


async def test_nobody_can_put_words_into_anothers_mouth_or_change_the_state(stack: RunningStack) -> None:
    room = "hostile"
    async with meeting_page(stack.base_url) as page, joined(stack.livekit, room, "mallory") as mallory:
        await page.join(room=room, name="Ada")
        await page.until_state("idle")
        ada = await page.identity_of("Ada")
        me = mallory.local_participant

        await publish(mallory, segment(ada, "forged as ada"))
        await publish(mallory, segment("somebody", "forged as somebody"))
        # The sender is theirs, the speaker they name is not.
        await publish(
            mallory, segment("mallory", "forged by attribute"), **{names.ATTRIBUTE_SPEAKER_IDENTITY: ada}
        )
        await publish(mallory, segment("mallory", "broken number"), **{names.ATTRIBUTE_REVISION: "-1e9"})
        await publish(mallory, segment("mallory", "x" * 100_000))
        lie = json.dumps(
            {"state": "failed", "engine": "evil", "language": "en", "behind_ms": None, "reason": "e2ee_room"}
        )
        await me.send_text(lie, topic=names.TOPIC_STATUS)
        await me.publish_data(lie, topic=names.TOPIC_STATUS)
        html = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b>"
        await publish(mallory, segment("mallory", html))
        await publish(mallory, segment("mallory", OWN_WORDS))

        await until_read(page, OWN_WORDS)
        shown = await page.shown()
        assert {line.speaker for line in shown} == {"mallory"}
        texts = [line.text for line in shown]
        assert not [text for text in texts if "forged" in text or "broken" in text]
        assert max(len(text) for text in texts) <= 4_000
        assert html in texts
        assert (
            await page.page.locator(
                "[data-testid=transcript-lines] img, [data-testid=transcript-lines] b"
            ).count()
            == 0
        )
        assert await page.page.title() != "owned"
        assert await page.part("state").get_attribute("data-state") == "idle"


async def test_a_flood_of_messages_leaves_the_page_usable(stack: RunningStack) -> None:
    room = "flood"
    async with (
        meeting_page(stack.base_url) as page,
        joined(stack.livekit, room, "bob") as bob,
        joined(stack.livekit, room, "mallory") as mallory,
    ):
        await page.join(room=room, name="Ada")
        await page.until_state("idle")
        await publish(bob, segment("bob", BOBS_WORDS))
        await until_read(page, BOBS_WORDS)

        for number in range(1000):
            await mallory.local_participant.publish_data(f"noise {number}", topic=names.TOPIC_STATUS)
        for number in range(400):
            await publish(mallory, segment("mallory", f"spam {number}", sequence=2 + number))
        await until_read(page, "spam")

        await page.part("start-subtitles").click()
        await page.until_state("live")
        await page.part("transcript").press("Home")
        await until_read(page, BOBS_WORDS)
        assert [line.text for line in await page.shown() if line.speaker == "bob"] == [BOBS_WORDS]
        assert await page.part("transcript-line").filter(has_text=BOBS_WORDS).count() == 1
