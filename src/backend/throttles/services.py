"""Limits that hold exactly, however many processes count: one conditional UPDATE takes one of what is left.

Keyed by room and identity, which a token proves; an address behind a proxy proves nothing.
"""

import datetime
import hashlib
import math
import time
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from backend.errors import Throttled
from backend.throttles.models import Count

WINDOW_S = 60


@dataclass(frozen=True, kw_only=True)
class Limit:
    """`most` in a minute, of what `name` says."""

    name: str
    most: int


REQUESTS_OF_ONE = Limit(name="requests", most=60)
CHANGES_OF_ONE = Limit(name="changes of one", most=10)
CHANGES_IN_ROOM = Limit(name="changes in room", most=30)


def take(limit: Limit, *subject: str) -> None:
    """Take one of the limit's for this subject. Raises Throttled, which says when there is more."""
    now_s = time.time()
    window = int(now_s // WINDOW_S)
    key = hashlib.sha256("\0".join((limit.name, str(window), *subject)).encode()).hexdigest()
    if not _is_counted(key, most=limit.most, ends_s=(window + 1) * WINDOW_S):
        raise Throttled(retry_after_s=math.ceil((window + 1) * WINDOW_S - now_s))


def forget_old_counts() -> None:
    Count.objects.filter(until__lt=timezone.now()).delete()


def _is_counted(key: str, *, most: int, ends_s: int) -> bool:
    row = Count.objects.filter(pk=key)
    if row.filter(count__lt=most).update(count=F("count") + 1):
        return True
    until = datetime.datetime.fromtimestamp(ends_s, tz=datetime.UTC)
    try:
        with transaction.atomic():
            Count.objects.create(key=key, count=1, until=until)
        return True
    except IntegrityError:  # the row is there: full, or made by another request just now
        return row.filter(count__lt=most).update(count=F("count") + 1) == 1
