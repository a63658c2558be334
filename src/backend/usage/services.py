"""What jobs tell of their engines' audio is kept, summed up by month, and held against the events' budgets.

Called with every heartbeat: four small questions at most while nobody speaks, and two statements for each
engine in use.
"""

import datetime
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from backend.engines import LAST_ENGINE
from backend.leases import services as leases
from backend.leases.models import Session
from backend.usage.budgets import Budgeted, Standing, month_of, standing_of
from backend.usage.models import BudgetStanding, EngineUsage, MonthUsage
from contract.engines import CATALOGUE
from contract.workers import JobReport

MAX_AUDIO_MS = 2**43

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, order=True)
class _Job:
    session: uuid.UUID
    generation: int
    engine: str


def record_usage(jobs: Iterable[JobReport]) -> None:
    """What a heartbeat says; a report may come again, late, or of a session that has ended."""
    jobs = tuple(jobs)
    sessions = Session.objects.select_related("event").in_bulk(
        {pk for job in jobs if (pk := _uuid(job.session)) is not None}
    )
    if not sessions:
        return
    now = timezone.now()
    _count(_told(jobs, sessions), sessions, month=month_of(now))
    apply_budgets({session.event for session in sessions.values() if session.event}, now=now)


def spent_ms(events: Iterable[Budgeted], *, month: datetime.date) -> dict[int, int]:
    """By event: what counts against its budget."""
    sums = MonthUsage.objects.filter(event__in=events, month=month).exclude(engine=LAST_ENGINE)
    return dict(sums.values_list("event").annotate(Sum("audio_ms")).order_by())


def is_budget_spent(event: Budgeted) -> bool:
    """Whether the event's rooms have the embedded engine alone now."""
    return standing_now([event])[event.pk] is Standing.SPENT


def standing_now(events: Iterable[Budgeted], *, now: datetime.datetime | None = None) -> dict[int, Standing]:
    events = list(events)
    spent = spent_ms(
        [event for event in events if event.monthly_budget_hours is not None],
        month=month_of(now or timezone.now()),
    )
    return {
        event.pk: standing_of(spent_ms=spent.get(event.pk, 0), budget_hours=event.monthly_budget_hours)
        for event in events
    }


def apply_budgets(events: Iterable[Budgeted], *, now: datetime.datetime) -> None:
    """Where a budget stands otherwise than it did: say so, and have the event's rooms ask for their engines anew.

    So a raised budget and a new month bring the engines back as a spent one took them away.
    """
    events = sorted(events, key=lambda event: event.pk)
    if not events:
        return
    before = BudgetStanding.objects.in_bulk([event.pk for event in events])
    for event, standing in zip(events, standing_now(events, now=now).values(), strict=True):
        known = before.get(event.pk)
        if _note(event, known, standing, month=month_of(now)):
            _tell(event, standing)
            was_spent = known is not None and known.standing == Standing.SPENT
            if was_spent != (standing is Standing.SPENT):
                leases.change_engines(event_id=event.pk)


def _note(event: Budgeted, known: BudgetStanding | None, standing: Standing, *, month: datetime.date) -> bool:
    """False when it was known, or when another backend was first."""
    if known is None:
        if standing is Standing.WITHIN:
            return False
        _, is_new = BudgetStanding.objects.get_or_create(
            event=event, defaults={"month": month, "standing": standing}
        )
        return is_new
    if known.standing == standing and (known.month == month or standing is Standing.WITHIN):
        return False
    rows = BudgetStanding.objects.filter(pk=event.pk, month=known.month, standing=known.standing)
    return rows.update(month=month, standing=standing) == 1


def _tell(event: Budgeted, standing: Standing) -> None:
    facts = {"event": event.slug}
    if standing is Standing.WARNED:
        logger.warning("an event's budget is nearly spent", extra=facts)
    elif standing is Standing.SPENT:
        logger.warning("an event's budget is spent", extra=facts)
    else:
        logger.info("an event's budget has room again", extra=facts)


def _told(jobs: Iterable[JobReport], sessions: Mapping[uuid.UUID, Session]) -> dict[_Job, int]:
    return {
        _Job(session=session.pk, generation=job.generation, engine=audio.engine): audio.audio_ms
        for job in jobs
        if (session := sessions.get(_uuid(job.session))) is not None
        and 0 < job.generation <= max(session.generation, session.standby_generation)
        for audio in job.engine_audio
        if audio.engine in CATALOGUE and 0 < audio.audio_ms < MAX_AUDIO_MS
    }


def _count(told: Mapping[_Job, int], sessions: Mapping[uuid.UUID, Session], *, month: datetime.date) -> None:
    if not told:
        return
    known = {
        _Job(session=row.session_id, generation=row.generation, engine=row.engine): row.audio_ms
        for row in EngineUsage.objects.filter(session__in={job.session for job in told})
    }
    more = {job: audio_ms for job, audio_ms in sorted(told.items()) if audio_ms > known.get(job, 0)}
    if not more:
        return
    with transaction.atomic():
        sums: dict[tuple[int, str], int] = defaultdict(int)
        for job, audio_ms in more.items():
            before_ms = known.get(job, 0)
            if _raise(job, before_ms=before_ms, to_ms=audio_ms):
                sums[sessions[job.session].event_id or 0, job.engine] += audio_ms - before_ms
        for (event_id, engine), audio_ms in sorted(sums.items()):
            _add(event_id or None, engine, audio_ms, month=month)


def _raise(job: _Job, *, before_ms: int, to_ms: int) -> bool:
    """False when the same was told at the same time: what is missing comes with the next report."""
    rows = EngineUsage.objects.filter(
        session=job.session, generation=job.generation, engine=job.engine, audio_ms=before_ms
    )
    if before_ms:
        return rows.update(audio_ms=to_ms) == 1
    _, is_new = EngineUsage.objects.get_or_create(
        session_id=job.session,
        generation=job.generation,
        engine=job.engine,
        defaults={"audio_ms": to_ms},
    )
    return is_new


def _add(event_id: int | None, engine: str, audio_ms: int, *, month: datetime.date) -> None:
    rows = MonthUsage.objects.filter(event=event_id, month=month, engine=engine)
    if rows.update(audio_ms=F("audio_ms") + audio_ms):
        return
    try:
        with transaction.atomic():
            MonthUsage.objects.create(event_id=event_id, month=month, engine=engine, audio_ms=audio_ms)
    except IntegrityError:  # another was first
        rows.update(audio_ms=F("audio_ms") + audio_ms)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
