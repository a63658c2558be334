"""What was said as cues that can be read: 42 columns a line, two lines, 17 characters a second where it can be kept.

A cue never begins before its speech. It may stay longer than that, until its speaker goes on.
"""

import functools
import heapq
import itertools
import operator
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from backend.exports.layout import pages
from backend.exports.said import Placed, Said, placed

CHARACTERS_A_SECOND = 17
SHORTEST_CUE_MS = 700
"""Kept even where a speaker goes on sooner: then two of theirs are seen at once."""
MOST_LINES_HELD = 500
"""So far from their place by time lines may come; of those that come later, cues come late."""
MOST_CUES_HELD = 2_000


class Cue(NamedTuple):
    """From the file's beginning; one line or two. `order` is its segment's place among all of them."""

    from_ms: int
    order: int
    to_ms: int
    text: str
    said: Said


_cue = Cue._make


def cues(
    lines: Iterable[Said], *, starts_at_ms: int, text_of: Callable[[Said], str] = operator.attrgetter("text")
) -> Iterator[Cue]:
    """In the order they begin."""
    held: list[Cue] = []
    for soon in _by_start(placed(lines, starts_at_ms=starts_at_ms, text_of=text_of)):
        begins_ms = soon[0].from_ms
        while held and (held[0].from_ms <= begins_ms or len(held) > MOST_CUES_HELD):
            yield heapq.heappop(held)
        first, *others = _cues_of(soon)
        if held:
            heapq.heappush(held, first)
        else:
            yield first
        for cue in others:
            heapq.heappush(held, cue)
    while held:
        yield heapq.heappop(held)


def _by_start(lines: Iterable[Placed]) -> Iterator[list[Placed]]:
    """Each time the next one, and those that come soon after it."""
    held: list[Placed] = []
    for line in lines:
        if held and line < held[-1]:
            insort(held, line)
        else:
            held.append(line)
        if len(held) > MOST_LINES_HELD:
            yield held
            del held[0]
    while held:
        yield held
        del held[0]


def _cues_of(soon: Sequence[Placed]) -> list[Cue]:
    """Of the first of them. They end with its speech, or later: when reading takes longer and its speaker is silent."""
    begins_ms, order, ends_ms, text, said = soon[0]
    parts = pages(text)
    needs_ms = [_reading_ms(columns) for _, columns in parts]
    wished_ms = begins_ms + sum(needs_ms)
    if wished_ms > ends_ms:
        ends_ms = max(ends_ms, _free_until(soon, wished_ms))
    if len(parts) == 1:
        ends_ms = max(ends_ms, begins_ms + SHORTEST_CUE_MS)
        return [_cue((begins_ms, order, ends_ms, parts[0].text, said))]
    found = []
    for (shown, _), lasts_ms in zip(parts, shares_of(ends_ms - begins_ms, needs_ms=needs_ms), strict=True):
        found.append(_cue((begins_ms, order, begins_ms + lasts_ms, shown, said)))
        begins_ms += lasts_ms
    return found


def _free_until(soon: Sequence[Placed], wished_ms: int) -> int:
    speaker = soon[0].said.speaker_identity
    for later in itertools.islice(soon, 1, None):
        if later.from_ms >= wished_ms:
            break
        if later.said.speaker_identity == speaker:
            return later.from_ms
    return wished_ms


def shares_of(total_ms: int, *, needs_ms: Sequence[int]) -> Iterator[int]:
    """By what each needs; where there is less than all need, none has less than the shortest may be."""
    least_ms = 0
    weight = sum(needs_ms)
    if total_ms < weight:
        least_ms = SHORTEST_CUE_MS
        weight = max(1, weight - least_ms * len(needs_ms))
    rest_ms = max(0, total_ms - least_ms * len(needs_ms))
    so_far = given_ms = 0
    for need in needs_ms:
        so_far += need - least_ms
        until_ms = rest_ms * so_far // weight
        yield least_ms + until_ms - given_ms
        given_ms = until_ms


@functools.cache
def _reading_ms(columns: int) -> int:
    return max(SHORTEST_CUE_MS, -(-columns * 1000 // CHARACTERS_A_SECOND))
