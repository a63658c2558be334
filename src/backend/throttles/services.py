"""Limits that hold exactly, however many processes count: one statement takes one of what is left.

Keyed by room and identity, which a token proves; an address behind a proxy proves nothing.
"""

import datetime
import hashlib
import math
import time
from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from backend.errors import Throttled
from backend.throttles.models import Count

WINDOW_S = 60

COUNT_ONE = f"""
    INSERT INTO {Count._meta.db_table} AS counted ("key", "count", "until") VALUES (%s, 1, %s)
    ON CONFLICT ("key") DO UPDATE SET "count" = counted."count" + 1 WHERE counted."count" < %s
"""
"""One statement, in PostgreSQL and in SQLite; Django's own upsert cannot say `WHERE`."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """`most` in a minute, of what `name` says."""

    name: str
    most: int


REQUESTS_OF_ONE = Limit(name="requests", most=60)
CHANGES_OF_ONE = Limit(name="changes of one", most=10)
CHANGES_IN_ROOM = Limit(name="changes in room", most=30)
WISHES_OF_ONE = Limit(name="wishes of one", most=10)
CAPTIONS_OF_ONE = Limit(name="captions of one", most=120)
EXPORTS_OF_ONE = Limit(name="exports of one", most=10)
ENGINE_TESTS_OF_ONE = Limit(name="engine tests of one", most=5)
ENGINE_TESTS = Limit(name="engine tests", most=20)


def take(limit: Limit, *subject: str) -> None:
    """Take one of the limit's for this subject. Raises Throttled, which says when there is more."""
    now_s = time.time()
    window = int(now_s // WINDOW_S)
    key = hashlib.sha256("\0".join((limit.name, str(window), *subject)).encode()).hexdigest()
    if not _is_counted(key, most=limit.most, ends_s=(window + 1) * WINDOW_S):
        raise Throttled(retry_after_s=math.ceil((window + 1) * WINDOW_S - now_s))


def take_a_change(*, room: str, identity: str) -> None:
    """One that concerns everybody in the room."""
    take(CHANGES_OF_ONE, room, identity)
    take(CHANGES_IN_ROOM, room)


def forget_old_counts() -> None:
    Count.objects.filter(until__lt=timezone.now()).delete()


def _is_counted(key: str, *, most: int, ends_s: int) -> bool:
    until = datetime.datetime.fromtimestamp(ends_s, tz=datetime.UTC)
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ONE, [key, connection.ops.adapt_datetimefield_value(until), most])
        return bool(cursor.rowcount == 1)
