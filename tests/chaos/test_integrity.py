"""What counts as lost and as doubled, with a recogniser that mishears."""

import pytest

from tests.support import clips
from tools.chaos.meeting import VOICES, compare

SAID = [clips.words(voice).split() for voice in (*VOICES, *VOICES)]
FIRST, SECOND, THIRD = (" ".join(SAID[number]) for number in range(3))


def understood(*parts: str) -> list[str]:
    return " ".join(parts).split()


def heard() -> list[str]:
    return [" ".join(words) for words in SAID]


def test_what_is_said_twice_may_be_shown_twice() -> None:
    result = compare(SAID, understood(*heard()))
    assert (result.rounds, result.lost, result.doubled, result.error_rate) == (8, 0, 0, 0.0)
    assert result.is_whole


def test_misheard_words_are_neither_lost_nor_doubled() -> None:
    odd = [" ".join(["sam", "queue", *text.split()[2:]]) for text in heard()]
    assert compare(SAID, understood(*odd)).is_whole


@pytest.mark.parametrize("number", range(8))
def test_a_missing_final_is_lost(number: int) -> None:
    finals = heard()
    finals[number] = ""
    assert compare(SAID, understood(*finals)).lost == 1


@pytest.mark.parametrize("number", range(8))
def test_half_a_final_missing_is_lost(number: int) -> None:
    finals = heard()
    words = finals[number].split()
    finals[number] = " ".join(words[: len(words) // 2])
    assert compare(SAID, understood(*finals)).lost == 1


@pytest.mark.parametrize("number", range(8))
def test_a_final_shown_twice_is_doubled(number: int) -> None:
    finals = heard()
    finals.insert(number, finals[number])
    result = compare(SAID, understood(*finals))
    assert result.doubled
    assert not result.lost


@pytest.mark.parametrize("number", range(8))
def test_an_overlap_of_a_few_words_is_doubled(number: int) -> None:
    finals = heard()
    finals.insert(number + 1, " ".join(finals[number].split()[-5:]))
    assert compare(SAID, understood(*finals)).doubled


def test_nothing_shown_is_all_lost() -> None:
    assert compare(SAID, []).lost == 8


def test_nothing_said_is_nothing_shown_to_be_whole() -> None:
    assert not compare([], []).is_whole
