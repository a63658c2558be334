"""The line between a worker and its jobs holds what a meeting can make of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

from agents.runtime.channel import Instruction, JobsDesk, Word, line_to_worker
from agents.runtime.roster import Assignment, JobKey, Roster, key_of
from contract.engines import SessionEngines
from contract.segments import MAX_TEXT_CHARS, Segment
from contract.transcripts import PostedSegment, Wish, Wishes
from contract.workers import ClaimAnswer, JobCommand, Order
from tests.support.finals import final

CLAIM = ClaimAnswer(
    session="s",
    generation=1,
    room="r",
    agent_identity="subtitles-a-1",
    language="en",
    engine="embedded",
    first_sequence=1,
    screen_share_audio=False,
)
CROWD = Wishes(
    revision=2,
    people=tuple(Wish(identity=f"{n:0256d}", pseudonym=f"Speaker {n}") for n in range(5_000)),
)
LONG = "\U0001f600" * MAX_TEXT_CHARS


async def test_a_crowds_wishes_posted_texts_and_finals_go_through_whole(tmp_path: Path) -> None:
    command = JobCommand(
        session="s",
        generation=1,
        order=Order.SPEAK,
        language="en",
        wishes=CROWD,
        posted=tuple(PostedSegment(number=n, segment=final(LONG)) for n in range(1, 21)),
    )
    told: asyncio.Queue[tuple[JobKey, Word]] = asyncio.Queue()
    roster = Roster()
    engines = SessionEngines(session="s", generation=1, revision=1, chain=())
    roster.claimed(Assignment(claim=replace(CLAIM, wishes=CROWD), engines=engines), now=0.0)
    desk = JobsDesk(
        path=tmp_path / "jobs.sock",
        roster=roster,
        clock=lambda: 0.0,
        on_news=lambda: None,
        on_finals=lambda key, word: told.put_nowait((key, word)),
    )
    said: tuple[Segment, ...] = (final(LONG),)
    async with asyncio.timeout(20), desk, line_to_worker(tmp_path / "jobs.sock", key_of(CLAIM)) as line:
        assert line.claim.wishes == CROWD
        desk.tell(Instruction(number=1, command=command), key=key_of(CLAIM))
        async for instruction in line.instructions():
            assert instruction.command == command
            break
        assert line.hand_in(written=("a file",), unwritten=said)
        assert await told.get() == (key_of(CLAIM), Word(written=("a file",), unwritten=said))
