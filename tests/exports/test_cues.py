"""Lines as cues: nothing lost, in order, within the limits of reading."""

import itertools
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from backend.exports.cues import CHARACTERS_A_SECOND, SHORTEST_CUE_MS, Cue, cues
from backend.exports.harmless import NO_BREAK_SPACE, plain
from backend.exports.layout import COLUMNS_A_LINE, Page, pages
from backend.exports.said import Said
from tests.exports.lines import BEGAN_MS, HOSTILE, said

# The first line of a script that needs it looks up all of Unicode.
UNHURRIED = settings(deadline=None)

WORDS = st.one_of(
    st.text(alphabet="abcdefghij", min_size=1, max_size=12),
    st.sampled_from(
        ["well-known,", "yes.", "=1", "été", "привет", "नमस्ते", "สวัสดี", "שלום", "今日は良い天気、", "w" * 50]
    ),
    st.sampled_from(
        ["👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "🇩🇪" * 30, "e\u0301\u0302", "한국어", "ㄱ\u1161\u11a8", "❤️"]
    ),
    st.sampled_from(["-->", "<b>", "\0", "\u202e", "a\u200bb", "\n\n"]),
)
TEXTS = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
LINES = st.lists(
    st.builds(
        said,
        TEXTS,
        at_ms=st.integers(0, 60_000),
        lasts_ms=st.integers(0, 20_000),
        speaker=st.sampled_from(["ada", "bob"]),
        sequence=st.integers(1, 99),
    ),
    max_size=5,
)


def cues_of(*lines: Said, starts_at_ms: int = BEGAN_MS) -> list[Cue]:
    return list(cues(lines, starts_at_ms=starts_at_ms))


def lines_of(shown: Cue | Page) -> list[str]:
    return shown.text.split("\n")


def read(text: str) -> str:
    """What is seen of it, however it is spaced."""
    return "".join(text.split())


@UNHURRIED
@given(LINES)
def test_every_character_is_in_the_cues_of_its_line_once_and_in_order(lines: list[Said]) -> None:
    found = defaultdict(list)
    for cue in cues_of(*lines):
        found[cue.order].extend(lines_of(cue))

    assert {order: read("".join(shown)) for order, shown in found.items()} == {
        order: read(plain(line.text))
        for order, line in enumerate(lines)
        if plain(line.text) and line.end_ms > BEGAN_MS
    }


@UNHURRIED
@given(st.lists(st.text(alphabet="abc,.é", min_size=1, max_size=30), min_size=1, max_size=60))
def test_no_word_is_parted_that_fits_on_a_line(words: list[str]) -> None:
    shown = [word for page in pages(" ".join(words)) for line in lines_of(page) for word in line.split()]

    assert shown == words


@UNHURRIED
@given(TEXTS.map(plain).filter(bool))
def test_lines_fit_and_a_cue_has_two_at_most(text: str) -> None:
    for page in pages(text):
        assert 1 <= len(lines_of(page)) <= 2
        for line in lines_of(page):
            assert line.strip()
            assert wcswidth(line) <= COLUMNS_A_LINE
            assert len(line) <= COLUMNS_A_LINE or not line.isascii()


@UNHURRIED
@given(TEXTS.map(plain).filter(bool))
def test_what_is_seen_as_one_character_is_never_parted(text: str) -> None:
    for page in pages(text):
        for line in lines_of(page):
            first, last = line.lstrip(NO_BREAK_SPACE)[0], line[-1]
            assert not unicodedata.category(first).startswith("M")
            assert first not in "\u200d\u1161\u11a8" and not "\U0001f3fb" <= first <= "\U0001f3ff"
            assert last != "\u200d"
            assert sum("\U0001f1e6" <= character <= "\U0001f1ff" for character in line) % 2 == 0


@UNHURRIED
@given(LINES)
def test_cues_come_as_they_begin_and_none_before_its_speech_or_shorter_than_can_be_seen(
    lines: list[Said],
) -> None:
    found = cues_of(*lines)

    assert [cue.from_ms for cue in found] == sorted(cue.from_ms for cue in found)
    for cue in found:
        assert cue.to_ms - cue.from_ms >= SHORTEST_CUE_MS
        assert cue.from_ms >= max(0, cue.said.start_ms - BEGAN_MS)
    for _, of_line in itertools.groupby(sorted(found, key=lambda cue: cue.order), lambda cue: cue.order):
        assert all(one.to_ms <= next.from_ms for one, next in itertools.pairwise(of_line))


@UNHURRIED
@given(TEXTS, st.integers(0, 20_000))
def test_whoever_is_alone_is_shown_long_enough_to_be_read(text: str, lasts_ms: int) -> None:
    for cue in cues_of(said(text, at_ms=1, lasts_ms=lasts_ms)):
        assert (
            wcswidth(cue.text.replace("\n", " ")) * 1000
            <= (cue.to_ms - cue.from_ms + 1) * CHARACTERS_A_SECOND
        )


def test_a_cue_stays_until_its_speaker_goes_on_and_no_longer_than_it_takes_to_read() -> None:
    text = "x" * 34  # two seconds
    alone, followed, after = (
        [(cue.from_ms, cue.to_ms) for cue in cues_of(said(text, lasts_ms=900), *others)]
        for others in (
            [],
            [said("soon", at_ms=1_500)],
            [said("another speaks meanwhile", at_ms=1_500, lasts_ms=3_000, speaker="bob")],
        )
    )

    assert alone == [(0, 2_000)]
    assert followed == [(0, 1_500), (1_500, 3_500)]
    assert after == [(0, 2_000), (1_500, 4_500)]


def test_a_long_line_shares_its_time_by_characters() -> None:
    text = " ".join(["nineteen characters"] * 8)
    first, second = cues_of(said(text, lasts_ms=20_000))

    assert [len(line) for line in (*lines_of(first), *lines_of(second))] == [39] * 4
    assert (first.from_ms, first.to_ms) == (0, 10_000)
    assert (second.from_ms, second.to_ms) == (10_000, 20_000)


def test_a_long_line_is_parted_where_a_clause_ends() -> None:
    shown = [lines_of(cue)[-1] for cue in cues_of(said(HOSTILE[-1], lasts_ms=9_000))]

    assert len(shown) == 2
    assert shown[0].endswith("screen,")


@pytest.mark.parametrize("before", range(15, 25))
def test_ideographs_are_parted_without_spaces_and_never_before_a_full_stop(before: int) -> None:
    lines = [line for page in pages("字" * before + "。" + "字" * 30) for line in lines_of(page)]

    assert len(lines) > 1
    assert not any(line.startswith("。") for line in lines)


@pytest.mark.parametrize(
    ("starts_at_ms", "expected"),
    [
        (BEGAN_MS - 5_000, [(5_000, 7_000), (15_000, 17_000)]),
        (BEGAN_MS + 1_000, [(0, 1_000), (9_000, 11_000)]),
        (BEGAN_MS + 2_000, [(8_000, 10_000)]),
        (BEGAN_MS + 99_000, []),
    ],
)
def test_times_are_from_the_start_what_was_before_is_left_out_and_what_reaches_over_it_is_cut(
    starts_at_ms: int, expected: list[tuple[int, int]]
) -> None:
    found = cues_of(said("first"), said("second", at_ms=10_000), starts_at_ms=starts_at_ms)

    assert [(cue.from_ms, cue.to_ms) for cue in found] == expected


def test_lines_that_come_late_find_their_place() -> None:
    late = [said(f"line {at}", at_ms=at * 1_000, sequence=at) for at in (3, 1, 2, 0)]

    assert [lines_of(cue)[0] for cue in cues_of(*late)] == ["line 0", "line 1", "line 2", "line 3"]


def test_two_who_speak_at_once_have_a_cue_each() -> None:
    both = cues_of(said("me", lasts_ms=4_000), said("me too", at_ms=500, lasts_ms=4_000, speaker="bob"))

    assert [(cue.from_ms, cue.to_ms, cue.said.speaker) for cue in both] == [
        (0, 4_000, "Ada"),
        (500, 4_500, "Bob"),
    ]
