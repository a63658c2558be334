"""What counts as a final that was lost to the record, and as one that it has twice. Pure."""

import dataclasses

import pytest

from contract.segments import Segment
from tools.chaos.record import Record, StoredLine, recorded

FINAL = Segment(
    id="s1",
    track_sid="TR_1",
    sequence=7,
    revision=4,
    is_final=True,
    speaker_identity="ada",
    speaker_name="Ada",
    language="en",
    start_ms=1_000,
    end_ms=2_000,
    engine="embedded",
    text="bonjour",
)
LINE = StoredLine(segment_id="s1", revision=4, sequence=7, speaker_identity="ada", text="bonjour")


def line(**changes: object) -> StoredLine:
    return dataclasses.replace(LINE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([LINE], Record(seen=1)),
        ([line(revision=5, text="bonsoir")], Record(seen=1)),
        ([LINE, line(segment_id="s2", sequence=8, text="nobody saw this one")], Record(seen=1)),
        ([], Record(seen=1, lost=1)),
        ([line(revision=3)], Record(seen=1, lost=1)),
        ([line(text="bon")], Record(seen=1, lost=1)),
        ([LINE, line(segment_id="s2")], Record(seen=1, doubled=1)),
    ],
    ids=["there", "corrected since", "unseen", "lost", "older", "other words", "twice"],
)
def test_each_final_that_was_seen_is_there_once(stored: list[StoredLine], expected: Record) -> None:
    assert recorded([FINAL], stored) == expected


def test_a_final_shown_again_in_a_newer_revision_counts_as_that() -> None:
    newer = dataclasses.replace(FINAL, revision=5, text="bonsoir")
    assert recorded([newer, FINAL], [LINE]).lost == 1


def test_of_nothing_seen_nothing_is_whole() -> None:
    assert not recorded([], []).is_whole
