"""Pages of lines by change: whoever asks again from where they are misses nothing and gets nothing twice.

Changes are numbered under a lock of their meeting and committed in that order, so none appears behind a cursor.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from backend.transcripts.models import Line
from backend.transcripts.search import matching
from contract.names import ENGINE_HUMAN

DEFAULT_LINES = 200
MOST_LINES = 1000
MAX_CHANGE = 2**53 - 1
"""Beyond it a browser's numbers are not exact."""


Told = dict[str, Any]

FIELDS = {
    "id": "segment_id",
    "sequence": "sequence",
    "revision": "revision",
    "change": "change",
    "text": "text",
    "speaker_identity": "speaker_identity",
    "speaker_name": "speaker_name",
    "language": "language",
    "start_ms": "start_ms",
    "end_ms": "end_ms",
    "engine": "engine",
    "corrected": "is_corrected",
    "track_sid": "track_sid",
}
"""What a segment is told with, and where in a line it stands."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What comes after `since`; `q` empty: whatever was said."""

    since: int = 0
    limit: int = DEFAULT_LINES
    q: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """`next` is the last change in it, and never tells of one the reader may not read.

    `is_known`: the reader has it, and no line was read for it.
    """

    segments: list[Told]
    next: int
    etag: str
    is_known: bool = False


def page_of(lines: QuerySet[Line], wanted: Wanted, *, known: frozenset[str] = frozenset()) -> Page:
    """`known`: the tags of pages the reader has."""
    found = _found(lines, wanted)
    if known:
        changes = list(found.values_list("change", flat=True))
        if (etag := etag_of(wanted, changes)) in known:
            return Page(segments=[], next=_next(wanted, changes), etag=etag, is_known=True)
    segments = [_told(row) for row in found.values_list(*FIELDS.values())]
    changes = [segment["change"] for segment in segments]
    return Page(segments=segments, next=_next(wanted, changes), etag=etag_of(wanted, changes))


def told(line: Line) -> Told:
    """What a reader is told of it."""
    return _told(getattr(line, name) for name in FIELDS.values())


def etag_of(wanted: Wanted, changes: list[int]) -> str:
    """A change is one revision of one line and stays it, so these numbers are the page."""
    digest = hashlib.sha256(repr((wanted.since, changes)).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def _found(lines: QuerySet[Line], wanted: Wanted) -> QuerySet[Line]:
    later = lines.filter(change__gt=wanted.since).order_by("change")
    return (matching(later, wanted.q) if wanted.q else later)[: wanted.limit]


def _next(wanted: Wanted, changes: list[int]) -> int:
    return changes[-1] if changes else wanted.since


def _told(values: Iterable[Any]) -> Told:
    segment = dict(zip(FIELDS, values, strict=True))
    return {**segment, "human": segment["engine"] == ENGINE_HUMAN}
