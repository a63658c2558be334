"""Logs: a constant sentence and its facts. Never what was said."""

import logging

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class FactsFormatter(logging.Formatter):
    """Appends what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _KNOWN)
        return f"{super().format(record)} {facts}".rstrip()


def start_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(FactsFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
