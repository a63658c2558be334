"""What is said, laid out by a real browser: nothing jumps, and a long meeting weighs no more than a short one."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from contract.segments import Segment
from tests.support.stage import Stage, build_stage, served, stage

pytestmark = pytest.mark.timeout(120)

START_MS = 1_764_188_434_000
MAX_NODES = 200
PEOPLE = ("Ada", "Bob", "Cleo", "Dan", "Eve")

ROWS = """
() => [...document.querySelector("room-captions").shadowRoot.querySelectorAll("[part=turn]")].map((turn) => {
  const box = turn.querySelector("[part=words]").getBoundingClientRect();
  const words = [];
  for (const line of turn.querySelectorAll("[part=line]")) {
    const text = line.firstChild, range = document.createRange();
    for (const { index, 0: word } of text.data.matchAll(/\\S+/g)) {
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      const { left, top, bottom } = range.getBoundingClientRect();
      if (bottom <= box.bottom + 1) words.push({ word, left: Math.round(left), top: Math.round(top) });
    }
  }
  return { speaker: turn.dataset.speaker, words, rows: new Set(words.map(({ top }) => top)).size };
})
"""

LINES = """
() => {
  const pane = document.querySelector("[data-testid=transcript]").getBoundingClientRect();
  return [...document.querySelectorAll("[data-testid=transcript-line]")]
    .map((line) => ({ id: line.dataset.segmentId, box: line.getBoundingClientRect() }))
    .filter(({ box }) => box.bottom > pane.top && box.top < pane.bottom)
    .map(({ id, box }) => [id, Math.round(box.top)]);
}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(build_stage(tmp_path_factory.mktemp("stage"))) as at:
        yield at


def segment(number: int, speaker: str, text: str, **changes: Any) -> Segment:
    start_ms = START_MS + 4_000 * number
    fields: dict[str, Any] = {
        "id": str(uuid.UUID(int=number + 1)), "track_sid": f"TR_{speaker}", "sequence": number, "revision": 0,
        "is_final": False, "speaker_identity": speaker, "speaker_name": speaker, "language": "en",
        "start_ms": start_ms, "end_ms": start_ms + 3_000, "engine": "voxtral", "text": text, **changes,
    }  # fmt: skip
    return Segment(**fields)


def words(count: int) -> str:
    return " ".join(f"word{number:03}" for number in range(count))


def meeting(count: int) -> list[Segment]:
    """Five people in turn, three lines each, of one to ten rows; as a newcomer is sent it."""
    return [
        segment(n, PEOPLE[n // 3 % 5], words(3 + n * 7 % 60), is_final=True, is_backlog=True)
        for n in range(count)
    ]


async def in_sight(on: Stage) -> list[list[Any]]:
    lines: list[list[Any]] = await on.page.evaluate(LINES)
    return lines


async def scroll(on: Stage, part: float) -> None:
    """To this part of the transcript; returns when what is there is drawn."""
    pane = on.part("transcript")
    await pane.evaluate(
        "(pane, part) => { pane.scrollTop = part * (pane.scrollHeight - pane.clientHeight) }", part
    )
    await drawn(on)


async def drawn(on: Stage) -> None:
    await on.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


async def press(on: Stage, key: str) -> None:
    """Returns when the transcript has come to rest."""
    await on.part("transcript").evaluate(
        "pane => { window.atRest = new Promise((done) => (pane.onscrollend = done)) }"
    )
    await on.page.keyboard.press(key)
    await on.page.evaluate("window.atRest")
    await drawn(on)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_words_stay_where_they_are_while_two_people_speak(
    address: str, width: int, height: int
) -> None:
    async with stage(address, width=width, height=height) as on:
        seen: dict[str, list[dict[str, Any]]] = {"Ada": [], "Bob": []}
        rows: set[int] = set()
        for count in range(1, 41):
            await on.receive(segment(0, "Ada", words(count), revision=count))
            if count > 5:
                await on.receive(segment(1, "Bob", words(count - 5), revision=count))
            # The pace of ordinary speech: a word of eight letters each half a second.
            await on.page.wait_for_timeout(500)
            for turn in await on.page.evaluate(ROWS):
                now, before = turn["words"], seen[turn["speaker"]]
                rows.add(turn["rows"])
                expected = words(count if turn["speaker"] == "Ada" else count - 5).split()
                assert now[-1]["word"] == expected[-1], "the last word is in sight"
                rolled_px = {b["top"] - n["top"] for b in before for n in now if b["word"] == n["word"]}
                moved_px = {b["left"] - n["left"] for b in before for n in now if b["word"] == n["word"]}
                assert moved_px <= {0}
                assert len(rolled_px) <= 1, "all rows move together"
                assert rolled_px <= {0} or len({b["top"] for b in before}) == 2, (
                    "rows roll only when both are full"
                )
                seen[turn["speaker"]] = now
        assert rows == {1, 2}


async def test_a_burst_rolls_row_by_row_until_its_last_word(address: str) -> None:
    async with stage(address) as on:
        await on.receive(segment(0, "Ada", words(30), is_final=True))
        [turn] = await on.page.evaluate(ROWS)
        assert turn["rows"] == 2
        assert turn["words"][0]["word"] == "word000"
        await on.page.wait_for_function(
            f"() => ({ROWS})()[0].words.at(-1).word === 'word029'", polling=100, timeout=15_000
        )
        [turn] = await on.page.evaluate(ROWS)
        assert turn["rows"] == 2
        assert turn["words"][0]["word"] != "word000"


async def test_a_long_meeting_is_a_few_nodes_wherever_one_reads(address: str) -> None:
    async with stage(address) as on:
        await on.receive(*meeting(1000))
        assert (await in_sight(on))[-1][0] == str(uuid.UUID(int=1000))
        ids: set[str] = set()
        for part in (0, 0.25, 0.5, 0.75, 1, 0):
            await scroll(on, part)
            assert await on.transcript_nodes() <= MAX_NODES
            lines = await in_sight(on)
            assert len(lines) > 2
            ids |= {line for line, _ in lines}
        assert {str(uuid.UUID(int=1)), str(uuid.UUID(int=1000))} <= ids
        first = on.part("transcript-line").first
        assert await first.get_attribute("aria-posinset") == "1"
        assert await first.get_attribute("aria-setsize") == "1000"


async def test_somebody_who_reads_what_was_said_is_not_moved_by_what_is_said(address: str) -> None:
    async with stage(address) as on:
        await on.receive(*meeting(300))
        await scroll(on, 0.5)
        assert await on.part("transcript-latest").is_visible()
        before = await in_sight(on)

        # At the end, above what is in sight, and a line far above that becomes longer.
        await on.receive(
            segment(400, "Ada", words(40)),
            segment(3, PEOPLE[1], words(60), revision=1, is_final=True),
            segment(2, "Eve", words(30), id=str(uuid.uuid4()), is_final=True),
        )
        assert await in_sight(on) == before
        await on.part("text-size").evaluate("() => { document.documentElement.dataset.textSize = 'largest' }")
        await drawn(on)
        [line, top_px], *_ = await in_sight(on)
        assert line == before[0][0]
        assert abs(top_px - before[0][1]) <= 1, "but for the rounding"

        await on.part("transcript-latest").click()
        assert (await in_sight(on))[-1][0] == str(uuid.UUID(int=401))
        assert not await on.part("transcript-latest").is_visible()


async def test_the_transcript_is_scrolled_with_the_keyboard_through_all_of_it(address: str) -> None:
    async with stage(address) as on:
        await on.receive(*meeting(120))
        await on.part("transcript").focus()
        await press(on, "Home")
        seen = {line for line, _ in await in_sight(on)}
        while str(uuid.UUID(int=120)) not in seen:
            await press(on, "PageDown")
            seen |= {line for line, _ in await in_sight(on)}
        assert seen == {str(uuid.UUID(int=n)) for n in range(1, 121)}


async def test_a_line_another_engine_heard_is_marked(address: str) -> None:
    async with stage(address) as on:
        await on.receive(segment(0, "Ada", "good morning", engine="voxtral"))
        assert await on.page.locator(".heard-by").count() == 0
        await on.receive(segment(0, "Ada", "good morning", engine="embedded", revision=1, is_final=True))
        await on.receive(segment(1, "Ada", "and welcome", engine="embedded", is_final=True))
        assert await on.page.locator(".heard-by").all_inner_texts() == [
            "Heard by the basic offline recogniser"
        ]


async def test_whoever_stands_on_a_line_or_corrects_it_stays_there_whatever_is_said(address: str) -> None:
    async with stage(address) as on:
        await on.receive(*meeting(60))
        last = str(uuid.UUID(int=60))
        button = on.page.locator(f"[data-segment-id='{last}'] .correct")
        await button.focus()
        await on.receive(*(segment(n, "Bob", words(20), is_final=True) for n in range(60, 160)))
        assert await button.evaluate("button => button === document.activeElement")
        assert last in {line for line, _ in await in_sight(on)}

        await on.page.keyboard.press("Enter")
        await on.page.keyboard.type(" and so on")
        field = on.part("correction")
        await on.receive(segment(59, PEOPLE[19 % 5], words(30), is_final=True, is_corrected=True, revision=1))
        await on.receive(*(segment(n, "Cleo", words(20), is_final=True) for n in range(160, 260)))
        assert (await field.input_value()).endswith(" and so on")
        assert await field.evaluate("field => field === document.activeElement")
        await scroll(on, 0)
        await scroll(on, 1)
        await scroll(on, 60 / 260)
        assert (await field.input_value()).endswith(" and so on"), "a draft outlives being scrolled away"

        await field.press("Escape")
        assert await button.evaluate("button => button === document.activeElement")
        assert await on.page.locator(f"[data-segment-id='{last}'] .heard-by").inner_text() == "Corrected"
