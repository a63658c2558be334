"""`manage.py keeper`: compares leases with heartbeats and LiveKit, re-dispatches, closes.

`manage.py keeper --check` is its health check.
"""

import logging
import os
import signal
import socket
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseProblem
from django.db import connections
from django.utils import timezone
from prometheus_client import Counter, Gauge

from backend.engine_tests.services import forget_old_tests
from backend.events.handouts import forget_old_handouts
from backend.keeper.jobs import JobsThread
from backend.keeper.meetings import LOOK_EVERY_S, look_after_meetings
from backend.keeper.readiness import BackendWatch
from backend.keeper.rounds import keep
from backend.keeper.turns import is_my_turn
from backend.leases.models import KeeperTurn
from backend.leases.services import forget_old_workers
from backend.metrics.server import serve_metrics
from backend.throttles.services import forget_old_counts

logger = logging.getLogger(__name__)

ROUND_EVERY_S = 0.25
FORGET_EVERY_S = 60.0
JOB_ENDS_WITHIN_S = 4.0
"""After SIGTERM; less than whoever sent it waits."""

ROUNDS = Counter("roomscribe_keeper_rounds", "Rounds of this keeper", ["outcome"])
WORKERS_JUDGED = Gauge("roomscribe_keeper_judges_workers", "1 while silence counts against a worker")


class Command(BaseCommand):
    help = "Look after running sessions until told to end."
    _meetings_at_s = 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="exit 0 while some keeper, this machine's or another's, does its rounds; else 1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            check()
        else:
            self._keep()

    def _keep(self) -> None:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        holder = f"{socket.gethostname()}-{os.getpid()}"
        watch = BackendWatch(settings.BACKEND_URL)
        if settings.KEEPER_METRICS_PORT:
            serve_metrics(settings.KEEPER_METRICS_PORT)
        jobs = JobsThread()
        if not settings.CELERY_BROKER_URL:
            jobs.start()
        logger.info("keeper started")
        forgets_at_s = 0.0
        while not ended.wait(ROUND_EVERY_S):
            self._round(holder, watch, jobs.turn)
            if time.monotonic() > forgets_at_s:
                forgets_at_s = time.monotonic() + FORGET_EVERY_S
                self._forget()
        jobs.stop(within_s=JOB_ENDS_WITHIN_S)

    def _round(self, holder: str, watch: BackendWatch, turn: threading.Event) -> None:
        workers_judged = watch.has_answered_without_a_break()
        try:
            WORKERS_JUDGED.set(workers_judged)
            is_mine = is_my_turn(holder)
            ROUNDS.labels("acted" if is_mine else "stood by").inc()
            if not is_mine:
                turn.clear()
            else:
                turn.set()
                keep(workers_judged=workers_judged, may_go_on=lambda: is_my_turn(holder))
                self._look_after_meetings(holder)
        except DatabaseProblem as exc:  # away for now; the next round finds it again
            turn.clear()
            ROUNDS.labels("failed").inc()
            logger.warning("database unavailable", extra={"error": type(exc).__name__})
            connections.close_all()

    def _look_after_meetings(self, holder: str) -> None:
        if time.monotonic() > self._meetings_at_s:
            self._meetings_at_s = time.monotonic() + LOOK_EVERY_S
            look_after_meetings(may_go_on=lambda: is_my_turn(holder))

    def _forget(self) -> None:
        try:
            forget_old_workers()
            forget_old_counts()
            forget_old_tests()
            forget_old_handouts()
        except DatabaseProblem:
            connections.close_all()


def check() -> None:
    """A turn lapses by itself, so one that holds was taken or kept by a round of the last seconds.

    Raises CommandError, which is exit status 1.
    """
    try:
        is_held = KeeperTurn.objects.filter(until__gt=timezone.now()).exists()
    except DatabaseProblem:
        raise CommandError("database_unavailable") from None
    if not is_held:
        raise CommandError("no_keeper")
