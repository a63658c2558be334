"""Logs: a constant sentence and its facts; never what was said, nor by whom.

livekit logs whole events when a callback fails, and those hold captions and names. So of other people's
records only the template, the level and the place of an exception are kept, and of their facts a few.
"""

import json
import logging
import sys
import traceback

OUR_LOGGER = "agents"
_ALLOWED_THEIR_FACTS = frozenset(
    {"job_id", "pid", "retry_count", "elapsed_time", "memory_usage_mb", "uptime", "delay"}
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Discreet(logging.Filter):
    """Takes out of a record whatever could hold speech, names or keys, before anything formats it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always keeps the record, changed in place."""
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = _places(record.exc_info[0], record.exc_info[2])
        record.exc_info = None
        if _is_ours(record):
            return True
        record.msg, record.args = str(record.msg), None
        for name in set(vars(record)) - _STANDARD - _ALLOWED_THEIR_FACTS:
            delattr(record, name)
        return True


class Facts(logging.Formatter):
    """`2026-01-31T10:00:00.000Z INFO agents.workers.transcriber worker started facts=...`, one line each."""

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line."""
        milliseconds = int(record.created * 1000)
        when = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{milliseconds % 1000:03d}"
        facts = {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD and isinstance(value, (str, int, float, bool, type(None)))
        }
        line = f"{when} {record.levelname} {record.name} {record.getMessage()}"
        line += "".join(f" {name}={json.dumps(value)}" for name, value in facts.items())
        if record.exc_text and record.exc_text not in line:
            line += f" at {record.exc_text}"
        return line.replace("\n", " | ")


def configure_logs() -> None:
    """One handler on stderr for all of the worker and, through livekit's queue, of its jobs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Facts())
    handler.addFilter(Discreet())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OUR_LOGGER).setLevel(logging.INFO)
    logging.getLogger("livekit").setLevel(logging.WARNING)


def be_discreet() -> None:
    """In a job process, whose only handler is livekit's queue to the worker."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Discreet())


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == OUR_LOGGER or record.name.startswith(f"{OUR_LOGGER}.")


def _places(kind: type[BaseException], trace: object) -> str:
    frames = traceback.extract_tb(trace)[-8:]  # type: ignore[arg-type]
    where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    return f"{kind.__name__} ({where})"
