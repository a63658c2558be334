"""For a Python process with this folder on its path: a wall clock put by as many seconds as a file says.

Only the wall clock: durations are measured with another, which stays as it is.
"""

import datetime
import os
import time
from typing import Any

LOOK_EVERY_S = 0.2

_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
_read = {"at": float("-inf"), "offset_s": 0.0}


def _offset_s() -> float:
    now = time.monotonic()
    if now - _read["at"] > LOOK_EVERY_S:
        _read["at"] = now
        with open(os.environ["CHAOS_CLOCK"]) as file:
            _read["offset_s"] = float(file.read())
    return _read["offset_s"]


def _put_time() -> float:
    return _time() + _offset_s()


def _put_time_ns() -> int:
    return _time_ns() + int(_offset_s() * 1e9)


class _AsTheOriginal(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _datetime)


class _PutDatetime(_datetime, metaclass=_AsTheOriginal):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _datetime.fromtimestamp(_put_time(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
        return _datetime.fromtimestamp(_put_time(), datetime.UTC).replace(tzinfo=None)


if "CHAOS_CLOCK" in os.environ:
    time.time, time.time_ns = _put_time, _put_time_ns
    datetime.datetime = _PutDatetime  # type: ignore[misc]
