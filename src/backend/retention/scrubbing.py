"""Where the database's own files may still hold what was deleted, and what is done about it after an erasure."""

import datetime

from django.db import connection

from backend.jobs.services import enqueue_once, task
from backend.meetings.models import ErasedSpeaker, KeptPeriod, Meeting, Person, Posted, Recording
from backend.transcripts.models import Line, LineRevision
from backend.transcripts.search import forget_deleted

TRY_AGAIN_AFTER = datetime.timedelta(seconds=2)
WAIT_FOR_READERS_MS = 100
"""While a checkpoint waits for readers no one can write."""

ERASED_FROM = (Line, LineRevision, Person, Posted, Recording, KeptPeriod, ErasedSpeaker, Meeting)


def scrub_soon() -> None:
    """Call it in the transaction of the erasure."""
    enqueue_once(scrub)


@task
def scrub() -> None:
    """Once for whatever was erased before."""
    forget_deleted()
    if not scrub_database():
        enqueue_once(scrub, delay=TRY_AGAIN_AFTER)


def scrub_database() -> bool:
    """False: somebody reads, so the write-ahead log of SQLite could not be emptied yet."""
    if connection.vendor == "sqlite":
        return _empty_write_ahead_log()
    tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in ERASED_FROM)
    with connection.cursor() as cursor:
        # Statistics, too, hold values. Without the right to it PostgreSQL leaves a table out, and does not fail.
        cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {tables}")
    return True


def _empty_write_ahead_log() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        [patience_ms] = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {WAIT_FOR_READERS_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            [is_busy, *_] = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience_ms}")
    return not is_busy
