"""Jobs over Celery: a message is a job's number, and the sweep sends again what no message is left of.

Imported only where CELERY_BROKER_URL is set.
"""

import logging
import queue
import threading
import uuid
from collections.abc import Callable

from celery import Celery
from django.conf import settings
from django.db import Error as DatabaseProblem
from kombu import Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from backend.jobs import runners

logger = logging.getLogger(__name__)

RUN, SWEEP = "run", "sweep"
JOBS_QUEUE, SWEEPS_QUEUE = "jobs", "sweeps"
SOFT_LIMIT_S, HARD_LIMIT_S = 300, 330
VISIBILITY_TIMEOUT_S = 600
"""More than HARD_LIMIT_S: what a worker has not confirmed by then goes to another."""
BROKER_TIMEOUT_S = 5.0
MOST_WAITING = 1000

BROKER_PROBLEMS = (KombuError, RedisError, OSError)

app = Celery("roomscribe", broker=settings.CELERY_BROKER_URL)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_soft_time_limit=SOFT_LIMIT_S,
    task_time_limit=HARD_LIMIT_S,
    task_queues=[Queue(JOBS_QUEUE), Queue(SWEEPS_QUEUE)],
    task_default_queue=JOBS_QUEUE,
    task_routes={SWEEP: {"queue": SWEEPS_QUEUE}},
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "socket_timeout": BROKER_TIMEOUT_S,
        "socket_connect_timeout": BROKER_TIMEOUT_S,
    },
    # In memory: there is one entry, and what is due when stands in the database.
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule={
        SWEEP: {
            "task": SWEEP,
            "schedule": runners.SWEEP_EVERY_S,
            # Those that pile up while no worker runs are thrown away.
            "options": {"expires": runners.SWEEP_EVERY_S},
        }
    },
)


@app.task(name=RUN)
def run(job_id: str) -> str:
    """Never raises what a task did: Celery would log its text."""
    try:
        return runners.run_job(uuid.UUID(job_id)) or "not due"
    except DatabaseProblem as exc:
        logger.warning("database unavailable", extra={"error": type(exc).__name__})
        return "database unavailable"


@app.task(name=SWEEP)
def sweep() -> None:
    try:
        send_due()  # before there are periodic ones, which are sent by themselves
        runners.sweep()
    except (DatabaseProblem, *BROKER_PROBLEMS) as exc:  # the next one finds the same
        logger.warning("sweep failed", extra={"error": type(exc).__name__})


def send_due() -> None:
    """Only what no message is left of: while some wait, those are run first, and the queue stays as long as it is."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        if app.amqp.queues[JOBS_QUEUE](channel).queue_declare().message_count:
            return
    for job_id in runners.due_jobs():
        send(str(job_id))


def send(job_id: str) -> None:
    """Raises one of BROKER_PROBLEMS."""
    app.send_task(RUN, args=[job_id], retry=False)


class Outbox:
    """Sends from a thread of its own, so that no request waits for the broker; what it cannot send the sweep does."""

    def __init__(self, deliver: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread = threading.Thread()

    def put(self, job_id: str) -> None:
        try:
            self._waiting.put_nowait(job_id)
        except queue.Full:
            return
        with self._lock:
            # Not before there is something to send; and once more in a process that was forked.
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_all, name="outbox", daemon=True)
                self._thread.start()

    def _send_all(self) -> None:
        while True:
            job_id = self._waiting.get()
            try:
                self._deliver(job_id)
            except BROKER_PROBLEMS as exc:
                logger.warning("broker unavailable", extra={"error": type(exc).__name__})
                self._forget_all()

    def _forget_all(self) -> None:
        """Each would wait for the broker in vain."""
        while not self._waiting.empty():
            self._waiting.get_nowait()


OUTBOX = Outbox(send)
