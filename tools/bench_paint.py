"""From a message of the room to words on the page, measured in headless Chromium. Prints Markdown.

The meeting view as it is built, without a room: the captions of an hour (1,000 segments, what a newcomer's page would
hold) stand in it, then five people speak on at once with ten interims a second in all. A message's time starts where
the library is handed it, which is when its text stream has been read to the end.

- *text*: until its text stands in the DOM, overlay and transcript laid out; looked for in the transcript.
- *frame*: until the frame after that was handed to the screen; up to 16.7 ms of it is the screen's own rhythm.

Once with whoever follows the latest words, once with somebody who reads in the middle, once with the most that is kept
(5,000 segments). With `--goals` a goal that is missed is exit status 1; `--planted` makes every message 20 ms late, to
see that happen.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from contract.segments import Segment  # noqa: E402
from tests.support.stage import Stage, build_stage, served, stage  # noqa: E402
from tools.bench_room import machine  # noqa: E402

SEGMENTS_AN_HOUR, MOST_SEGMENTS = 1_000, 5_000
LINES_A_PERSON = 200
INTERIMS_A_S = 10
SPEAKING = 5
WORDS_A_SEGMENT = 25
START_MS = 1_764_188_434_000
TEXT_P95_GOAL_MS, TEXT_MAX_GOAL_MS, NODES_GOAL = 16, 100, 200
PLANTED_MS = 20
SENTENCE = (
    "we need a larger room for the next meeting because more than twenty people said that they want to come"
)
WORDS = SENTENCE.split(" ")


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    segments: int
    is_reading: bool = False


CASES = (
    Case(name="1 h, follows the latest", segments=SEGMENTS_AN_HOUR),
    Case(name="1 h, reads in the middle", segments=SEGMENTS_AN_HOUR, is_reading=True),
    Case(name="the most that is kept", segments=MOST_SEGMENTS),
)


@dataclass(frozen=True, kw_only=True)
class Painted:
    case: Case
    text_ms: list[float]
    frame_ms: list[float]
    nodes: int

    @property
    def goals_are_met(self) -> bool:
        return (
            quantile(self.text_ms, 0.95) <= TEXT_P95_GOAL_MS
            and max(self.text_ms) <= TEXT_MAX_GOAL_MS
            and self.nodes <= NODES_GOAL
        )


def quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def segment(number: int, speaker: str, words: int, *, revision: int = 0, is_final: bool = False) -> Segment:
    text = " ".join(itertools.islice(itertools.cycle(WORDS), number % 7, number % 7 + words))
    return Segment(
        id=str(uuid.UUID(int=number + 1)), track_sid=f"TR_{speaker}", sequence=number, revision=revision,
        is_final=is_final, speaker_identity=speaker, speaker_name=speaker, language="en",
        start_ms=START_MS + 3_600 * number, end_ms=START_MS + 3_600 * number + 3_000, engine="voxtral",
        text=f"{number} {text}", is_backlog=is_final and revision == 0,
    )  # fmt: skip


def said(count: int) -> list[Segment]:
    return [
        segment(n, f"person {n % (count // LINES_A_PERSON)}", 3 + n * 7 % 40, is_final=True)
        for n in range(count)
    ]


def live(first: int, seconds: float) -> list[Segment]:
    """Everybody's segment grows by a word each time it is their turn, and ends as a final."""
    revisions = []
    for turn in range(round(seconds * INTERIMS_A_S)):
        speaker, words = turn % SPEAKING, turn // SPEAKING
        number = first + words // WORDS_A_SEGMENT * SPEAKING + speaker
        revision = words % WORDS_A_SEGMENT
        is_final = revision == WORDS_A_SEGMENT - 1
        revisions.append(
            segment(number, f"person {speaker}", revision + 1, revision=revision, is_final=is_final)
        )
    return revisions


async def measure(address: str, case: Case, *, seconds: float, planted_ms: float) -> Painted:
    async with stage(address) as on:
        await on.receive(*said(case.segments))
        if case.is_reading:
            await read_in_the_middle(on)
        nodes = await on.transcript_nodes()
        took = await on.timed(
            live(case.segments, seconds), every_ms=1_000 / INTERIMS_A_S, planted_ms=planted_ms
        )
        nodes = max(nodes, await on.transcript_nodes())
    return Painted(
        case=case,
        text_ms=[one["textMs"] for one in took],
        frame_ms=[one["frameMs"] for one in took],
        nodes=nodes,
    )


async def read_in_the_middle(on: Stage) -> None:
    await on.part("transcript").evaluate("pane => { pane.scrollTop = pane.scrollHeight / 2 }")
    await on.part("transcript-latest").wait_for()


def table(painted: Sequence[Painted]) -> str:
    lines = [
        "| 10 interims/s after | n | text, p50 ms | p95 ms | max ms | frame, p50 ms | p95 ms | max ms | nodes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in painted:
        numbers = [
            f"{number:.1f}"
            for times in (one.text_ms, one.frame_ms)
            for number in (statistics.median(times), quantile(times, 0.95), max(times))
        ]
        lines.append(f"| {one.case.name} | {len(one.text_ms)} | {' | '.join(numbers)} | {one.nodes} |")
    lines.append(
        f"| goal | | | {TEXT_P95_GOAL_MS} | {TEXT_MAX_GOAL_MS} | | | | {NODES_GOAL} |",
    )
    return "\n".join(lines)


async def main(arguments: argparse.Namespace) -> int:
    planted_ms = PLANTED_MS if arguments.planted else 0
    print(f"## Message to words on the page\n\n{machine()}\n")
    with (
        tempfile.TemporaryDirectory() as directory,
        served(build_stage(Path(directory) / "stage")) as address,
    ):
        painted = [
            await measure(address, case, seconds=arguments.seconds, planted_ms=planted_ms) for case in CASES
        ]
    print(table(painted))
    return int(arguments.goals and not all(one.goals_are_met for one in painted))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of each case")
    parser.add_argument("--goals", action="store_true", help="a goal that is missed is exit status 1")
    parser.add_argument("--planted", action="store_true", help="every message is late on purpose")
    sys.exit(asyncio.run(main(parser.parse_args())))
