"""What an account reads: pages of transcripts, the newest first, and one with a page of its lines."""

import datetime
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from backend.errors import InvalidQuery, TranscriptAbsent
from backend.meetings.models import Meeting
from backend.transcripts.models import Line
from backend.transcripts.pages import Page, Wanted, page_of
from backend.transcripts.readers import visible_transcripts
from backend.transcripts.search import MOST_HITS, matching, meetings_with
from backend.transcripts.summaries import Summary, summaries_of

DEFAULT_TRANSCRIPTS = 20
MOST_TRANSCRIPTS = 100

LOOK_FOR_S = 0.1
LOOK_THROUGH = 100
"""How long, and how many meetings at most, a search looks through before it asks the index."""

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
CURSOR = re.compile(r"([0-9]{1,17})-([0-9a-f]{32})")
"""When the last one of the page began, and its id."""


@dataclass(frozen=True, kw_only=True)
class Transcripts:
    transcripts: list[Summary]
    next: str | None


def list_transcripts(
    user: Any, *, cursor: str = "", limit: int = DEFAULT_TRANSCRIPTS, q: str = ""
) -> Transcripts:
    """Raises InvalidQuery for a cursor that is none of ours, or a search without a word."""
    found = visible_transcripts(user).select_related("event").order_by("-began_at", "-pk")
    if cursor:
        found = after(found, cursor)
    return transcripts_with(found, query=q, limit=limit) if q else _page(list(found[: limit + 1]), limit)


def transcripts_with(
    meetings: QuerySet[Meeting],
    *,
    query: str,
    limit: int,
    look_for_s: float = LOOK_FOR_S,
    most_hits: int = MOST_HITS,
) -> Transcripts:
    """A word that is said everywhere is soon found in the newest; the index finds one that is not.

    Of one that has too many lines for it, and is not in the newest, a page may have fewer than `limit`, or none,
    and say where to go on.
    """
    newest, found, looked_at = list(meetings[:LOOK_THROUGH]), [], 0
    until_s = time.monotonic() + look_for_s
    while looked_at < len(newest) and len(found) <= limit and (looked_at == 0 or time.monotonic() < until_s):
        if matching(Line.objects.filter(meeting=newest[looked_at]), query).exists():
            found.append(newest[looked_at])
        looked_at += 1
    if len(found) > limit or looked_at == len(newest) < LOOK_THROUGH:
        return _page(found, limit)
    here, with_words = _cursor_of(newest[looked_at - 1]), meetings_with(query, most_hits=most_hits)
    if with_words is None:
        return Transcripts(transcripts=summaries_of(found), next=here)
    older = after(meetings, here).filter(pk__in=with_words)
    return _page([*found, *older[: limit + 1 - len(found)]], limit)


def _page(meetings: list[Meeting], limit: int) -> Transcripts:
    """`meetings`: one more than the page has tells that there is another page."""
    page = meetings[:limit]
    return Transcripts(
        transcripts=summaries_of(page), next=_cursor_of(page[-1]) if len(meetings) > limit else None
    )


def read_transcript(user: Any, transcript: str, wanted: Wanted) -> tuple[Summary, Page]:
    """Raises TranscriptAbsent for one that is not there, or not for this account."""
    meeting = visible_transcript(user, transcript)
    [summary] = summaries_of([meeting])
    return summary, page_of(Line.objects.filter(meeting=meeting), wanted)


def visible_transcript(user: Any, transcript: str) -> Meeting:
    """Raises TranscriptAbsent, whether there is none or none for this account."""
    try:
        wanted = uuid.UUID(transcript)
    except ValueError:
        raise TranscriptAbsent from None
    meeting = visible_transcripts(user).select_related("event").filter(pk=wanted).first()
    if meeting is None:
        raise TranscriptAbsent
    return meeting


def after(meetings: QuerySet[Meeting], cursor: str) -> QuerySet[Meeting]:
    parts = CURSOR.fullmatch(cursor)
    if parts is None:
        raise InvalidQuery
    began_at, pk = EPOCH + int(parts[1]) * MICROSECOND, uuid.UUID(parts[2])
    return meetings.filter(Q(began_at__lt=began_at) | Q(began_at=began_at, pk__lt=pk))


def _cursor_of(meeting: Meeting) -> str:
    return f"{(meeting.began_at - EPOCH) // MICROSECOND}-{meeting.pk.hex}"
