"""How a month's budget stands. No I/O."""

import datetime
import enum
from decimal import Decimal
from typing import Protocol

WARNED_FROM = Decimal("0.8")
MS_PER_HOUR = 3_600_000


class Budgeted(Protocol):
    """An event, as far as its budget goes."""

    pk: int
    slug: str
    monthly_budget_hours: Decimal | None


class Standing(enum.StrEnum):
    """WARNED from 80 % on; SPENT: only the embedded engine is left."""

    WITHIN = "within"
    WARNED = "warned"
    SPENT = "spent"


def standing_of(*, spent_ms: int, budget_hours: Decimal | None) -> Standing:
    """`budget_hours` None: there is no limit."""
    if budget_hours is None:
        return Standing.WITHIN
    budget_ms = budget_hours * MS_PER_HOUR
    if spent_ms >= budget_ms:
        return Standing.SPENT
    return Standing.WARNED if spent_ms >= budget_ms * WARNED_FROM else Standing.WITHIN


def month_of(moment: datetime.datetime) -> datetime.date:
    """Its first day, in UTC."""
    return moment.astimezone(datetime.UTC).date().replace(day=1)
