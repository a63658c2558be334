"""Questions to what may hang: whoever asks waits as long as it likes to, and no longer.

Each is asked on a daemon thread, which may stay stuck after its askers have gone. Those who ask at the same time
share one; when a few are stuck the answer is no without asking, lest they take every connection there is.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import Error as DatabaseProblem
from django.db import connections
from redis.exceptions import RedisError

from backend.errors import LiveKitUnavailable

T = TypeVar("T")

SHARED_FOR_S = 0.5
MOST_STUCK = 3


class Asked(Generic[T]):
    """A question under way; its answer may come late or never."""

    def __init__(self) -> None:
        self.since_s = time.monotonic()
        self._is_settled = threading.Event()
        self._value: T | None = None

    def answer(self, *, until_s: float) -> T | None:
        """None: none has come by then (of `time.monotonic`), or whoever was asked is not there."""
        self._is_settled.wait(max(0.0, until_s - time.monotonic()))
        return self._value

    def settle(self, value: T | None) -> None:
        self._value = value
        self._is_settled.set()


class Question(Generic[T]):
    """What to ask; `ask` raises when there is no answer to be had."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._under_way: list[Asked[T]] = []

    def put(self) -> Asked[T]:
        with self._lock:
            if self._under_way and time.monotonic() - self._under_way[-1].since_s < SHARED_FOR_S:
                return self._under_way[-1]
            asked: Asked[T] = Asked()
            if len(self._under_way) >= MOST_STUCK:
                asked.settle(None)
                return asked
            self._under_way.append(asked)
        threading.Thread(target=self._settle, args=(asked,), name="question", daemon=True).start()
        return asked

    def _settle(self, asked: Asked[T]) -> None:
        value = None
        try:
            value = self._ask()
        except (DatabaseProblem, RedisError, LiveKitUnavailable, OSError, LookupError):
            pass  # no answer
        finally:
            connections.close_all()  # this thread's own
            with self._lock:
                self._under_way.remove(asked)
            asked.settle(value)
