"""What counts as lost, doubled, out of order and excused when every word has a number."""

import pytest

from tools.chaos.marked import Account, Final, Word, account, codes_in

SAID = [Word(code=code, at=100 + 0.4 * code) for code in range(20)]


def final(*codes: int, at: float | None = None) -> Final:
    start = 100 + 0.4 * codes[0] if at is None else at
    return Final(codes=codes, start=start, end=start + 0.4 * len(codes))


FINALS = [final(*range(first, first + 5)) for first in range(0, 20, 5)]


def test_every_word_once_and_in_order_is_whole() -> None:
    assert account(SAID, FINALS) == Account(said=20)
    assert account(SAID, FINALS).is_whole


@pytest.mark.parametrize("number", range(4))
def test_a_final_that_is_missing_is_lost(number: int) -> None:
    seen = account(SAID, FINALS[:number] + FINALS[number + 1 :])
    assert seen == Account(said=20, lost=5)
    assert not seen.is_whole


@pytest.mark.parametrize("number", range(4))
def test_a_final_that_comes_twice_is_doubled(number: int) -> None:
    seen = account(SAID, FINALS[: number + 1] + FINALS[number:])
    assert (seen.lost, seen.doubled) == (0, 5)
    assert not seen.is_whole


def test_one_word_at_the_end_of_one_final_and_the_beginning_of_the_next_is_doubled() -> None:
    assert account(SAID, [final(*range(10)), final(*range(9, 20))]).doubled == 1


def test_words_that_change_places_are_out_of_order() -> None:
    seen = account(SAID, [FINALS[0], FINALS[2], FINALS[1], FINALS[3]])
    assert (seen.lost, seen.doubled, seen.disordered) == (0, 0, 1)
    assert not seen.is_whole


def test_a_number_that_nobody_said_is_told() -> None:
    seen = account(SAID, [*FINALS, Final(codes=(999,), start=108, end=109)])
    assert seen.unsaid == 1
    assert not seen.is_whole


def test_only_what_was_said_in_an_excused_time_is_excused() -> None:
    seen = account(SAID, FINALS[2:], excused=[(0, 101.7)])
    assert seen == Account(said=20, lost=5, excused=5)
    assert account(SAID, FINALS[1:], excused=[(0, 101.7)]).is_whole


def test_a_number_said_again_a_minute_later_is_another_word() -> None:
    again = [Word(code=word.code, at=word.at + 60) for word in SAID]
    later = [final(*range(20), at=160)]
    assert account(SAID + again, FINALS + later) == Account(said=40)
    assert account(SAID + again, later).lost == 20


def test_nothing_said_is_nothing_shown_to_be_whole() -> None:
    assert not account([], []).is_whole


def test_numbers_are_read_whatever_stands_between_them() -> None:
    assert codes_in("w007 <script> w012, flood 20 w1234 xw555") == (7, 12)
