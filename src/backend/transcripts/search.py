"""Full-text search: every word has to be in the line, the last one perhaps only begun; capitals and accents do not
count. Scripts without spaces between words are found by any stretch of them.

The index is the database's own, and the database keeps it in step (migration 0002): PostgreSQL in a generated column
`words` with a GIN index, SQLite in an FTS5 table `transcripts_words` over the lines, by triggers. SQLite makes a
table anew to alter it, and its triggers are gone with the old one: a migration that alters Line has to end with
those of 0002.
"""

import re
import sqlite3
import uuid
from typing import Any

from django.db import connection, transaction
from django.db.models import BooleanField, Func, QuerySet

from backend.errors import InvalidQuery
from backend.transcripts.models import Line

MAX_QUERY_CHARS = 200
BEGUN_CHARS = 2
"""A last word shorter than this has to be the whole word: too many begin with one letter."""

UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)

ASKED = "phraseto_tsquery('simple', transcripts_spaced(%s))"
BEGUN = f"(NULLIF({ASKED}::text, '') || ':*')::tsquery"

MOST_HITS = 10_000
"""A search of all meetings looks at so many lines at most."""

HAS_SECURE_DELETE = sqlite3.sqlite_version_info >= (3, 42)


def matching(lines: QuerySet[Line], query: str) -> QuerySet[Line]:
    """Of the lines of one meeting, or a few: all of theirs are looked at, which is quicker than all that match.

    Raises InvalidQuery for a query that is too long or has no word in it.
    """
    return lines.filter(Matches(terms_of(query)))


def meetings_with(query: str, *, most_hits: int = MOST_HITS) -> set[uuid.UUID] | None:
    """In which it was said; None: in more lines than a request has time to look at. Raises InvalidQuery."""
    hits = Line.objects.filter(Matches(terms_of(query), by_index=True)).order_by()
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # To the planner a limit promises that the table's beginning will do; of what was said lately it will not.
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")
        found = list(hits.values_list("meeting", flat=True)[: most_hits + 1])
    return set(found) if len(found) <= most_hits else None


def terms_of(query: str) -> tuple[str, ...]:
    words = [word for word in query.replace("\0", " ").split() if any(c.isalnum() for c in word)]
    if len(query) > MAX_QUERY_CHARS or not words:
        raise InvalidQuery
    return tuple(words)


def forget_deleted() -> None:
    """The index holds nothing of lines that were deleted or replaced when this returns; call it after an erasure.

    SQLite: FTS5 only marks what is deleted. From 3.42 on it can remove it ('secure-delete'), which 0002 asked for
    where it could; before, all that is left is merged into one ('optimize'), which takes about a second for 100,000
    lines. What the freed pages hold is for `PRAGMA secure_delete`.
    PostgreSQL: its statistics of frequent words are made anew. Rows and entries go with the next VACUUM; each word
    by itself stays a key of the GIN index, unreachable, until REINDEX.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE transcripts_line")
        else:
            if HAS_SECURE_DELETE:
                cursor.execute(
                    "INSERT INTO transcripts_words(transcripts_words, rank) VALUES ('secure-delete', 1)"
                )
            cursor.execute("INSERT INTO transcripts_words(transcripts_words) VALUES ('optimize')")


class Matches(Func):
    """Whether a line has these terms; in a filter of lines.

    `by_index`: those that match are looked up in the index, instead of the lines at hand being looked at.
    """

    output_field = BooleanField()

    def __init__(self, terms: tuple[str, ...], *, by_index: bool = False) -> None:
        super().__init__("pk")
        self.terms, self.by_index = terms, by_index

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[str]]:
        [line] = self.source_expressions
        *_whole, last = self.terms
        asked = [ASKED] * (len(self.terms) - 1) + [BEGUN if _may_be_begun(last) else ASKED]
        words = f'{compiler.quote_name_unless_alias(line.alias)}."words"'
        # The planner knows nothing of rare words, and would collect a frequent one's hits in all meetings.
        held = words if self.by_index else f"({words} || '')"
        return f"{held} @@ ({' && '.join(asked)})", list(self.terms)

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[str]]:
        [line] = self.source_expressions
        table = compiler.quote_name_unless_alias(line.alias)
        unspaced = [term for term in self.terms if UNSPACED.search(term)]
        holds = [f'instr(lower({table}."text"), lower(%s)) > 0' for _ in unspaced]
        values = [*unspaced]
        if spaced := [term for term in self.terms if term not in unspaced]:
            holds.append(
                f'{table}."id" IN (SELECT rowid FROM transcripts_words WHERE transcripts_words MATCH %s)'
            )
            values.append(_match(spaced, is_begun=spaced[-1] is self.terms[-1]))
        return f"({' AND '.join(holds)})", values


def _match(terms: list[str], *, is_begun: bool) -> str:
    """As FTS5 asks: each term a string, whatever is in it."""
    strings = " ".join('"' + term.replace('"', " ") + '"' for term in terms)
    return strings + "*" if is_begun and _may_be_begun(terms[-1]) else strings


def _may_be_begun(term: str) -> bool:
    return sum(c.isalnum() for c in term) >= BEGUN_CHARS
