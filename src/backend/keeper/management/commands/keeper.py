"""`manage.py keeper`: compares leases with heartbeats and LiveKit, re-dispatches, closes."""

import logging
import os
import signal
import socket
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from prometheus_client import Counter, Gauge, start_http_server

from backend.keeper.readiness import BackendWatch
from backend.keeper.rounds import keep
from backend.keeper.turns import is_my_turn
from backend.leases.services import forget_old_workers
from backend.throttles.services import forget_old_counts

logger = logging.getLogger(__name__)

ROUND_EVERY_S = 0.25

ROUNDS = Counter("roomscribe_keeper_rounds", "Rounds of this keeper", ["outcome"])
WORKERS_JUDGED = Gauge("roomscribe_keeper_judges_workers", "1 while silence counts against a worker")


class Command(BaseCommand):
    help = "Look after running sessions until told to end."

    def handle(self, *args: Any, **options: Any) -> None:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        holder = f"{socket.gethostname()}-{os.getpid()}"
        watch = BackendWatch(settings.BACKEND_URL)
        if settings.KEEPER_METRICS_PORT:
            start_http_server(settings.KEEPER_METRICS_PORT)
        logger.info("keeper started")
        while not ended.wait(ROUND_EVERY_S):
            self._round(holder, watch)

    def _round(self, holder: str, watch: BackendWatch) -> None:
        workers_judged = watch.has_answered_without_a_break()
        try:
            close_old_connections()
            WORKERS_JUDGED.set(workers_judged)
            is_mine = is_my_turn(holder)
            ROUNDS.labels("acted" if is_mine else "stood by").inc()
            if is_mine:
                keep(workers_judged=workers_judged)
                forget_old_workers()
                forget_old_counts()
        except DatabaseError as exc:  # away for now; the next round finds it again
            ROUNDS.labels("failed").inc()
            logger.warning("database unavailable", extra={"error": type(exc).__name__})
