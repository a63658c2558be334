"""A transcript's lines on their way into a file: a page at a time, so that no transcript is too long."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import close_old_connections
from django.db.models import Count, Max, Min, Q, QuerySet

from backend.exports.formats import Format
from backend.exports.said import Said
from backend.transcripts.models import Line

MOST_ROWS = 2_000
FEWEST_ROWS = 50
CHARACTERS_A_PAGE = 500_000

_PLACE = ("sequence", "start_ms", "pk")
_ALL = (*Said._fields[:-1], "segment_id")
_NO_PROVENANCE = ("", False, 0, "")
"""Wanted in JSON alone, and ids take time."""
_TEXT = Said._fields.index("text")


@dataclass(frozen=True, kw_only=True)
class Extent:
    """`first_ms` and `first_end_ms` (UTC epoch) None: there are no lines. `language` empty: none, or several."""

    count: int
    first_ms: int | None
    first_end_ms: int | None
    language: str


def extent_of(lines: QuerySet[Line]) -> Extent:
    found = lines.aggregate(
        count=Count("pk"),
        first_ms=Min("start_ms"),
        first_end_ms=Min("end_ms"),
        least=Min("language"),
        most=Max("language"),
    )
    least, most = found.pop("least"), found.pop("most")
    return Extent(**found, language=least if least and least == most else "")


def said_in(lines: QuerySet[Line], format: Format) -> Iterator[Said]:
    """In display order. Between pages no connection is held: whoever reads slowly holds up nobody."""
    fields, left_out = (_ALL, ()) if format is Format.JSON else (_ALL[: _TEXT + 1], _NO_PROVENANCE)
    in_order = lines.order_by(*_PLACE).values_list(*fields, "pk")
    last: tuple[Any, ...] | None = None
    rows = FEWEST_ROWS
    while True:
        page = list(in_order.filter(_after(last))[:rows])
        close_old_connections()
        for row in page:
            yield Said._make(row[:-1] + left_out)
        if len(page) < rows:
            return
        last = page[-1]
        characters = 1 + sum(len(row[_TEXT]) for row in page)
        rows = max(FEWEST_ROWS, min(MOST_ROWS, CHARACTERS_A_PAGE * len(page) // characters))


def _after(row: tuple[Any, ...] | None) -> Q:
    if row is None:
        return Q()
    sequence, start_ms, *_, pk = row
    after = Q(sequence__gt=sequence) | Q(start_ms__gt=start_ms) | Q(start_ms=start_ms, pk__gt=pk)
    # The first is what the index is asked.
    return Q(sequence__gte=sequence) & after
