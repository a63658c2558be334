"""Whether silence may be held against a worker: only while it could have been heard."""

import json
import time
import urllib.error
import urllib.request

UNBROKEN_FOR_S = 5.0
ASK_TIMEOUT_S = 1.0


class BackendWatch:
    """Asks the backend at the address the workers use."""

    def __init__(self, backend_url: str) -> None:
        self._url = f"{backend_url}/readyz"
        self._answers_since_s: float | None = None

    def has_answered_without_a_break(self) -> bool:
        if not self._answers():
            self._answers_since_s = None
            return False
        now_s = time.monotonic()
        if self._answers_since_s is None:
            self._answers_since_s = now_s
        return now_s - self._answers_since_s >= UNBROKEN_FOR_S

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=ASK_TIMEOUT_S) as response:
                raw = response.read()
        except (
            urllib.error.HTTPError
        ) as answer:  # not ready, perhaps for want of the very worker to be judged
            with answer:
                raw = answer.read()
        except OSError:
            return False
        try:
            return json.loads(raw).get("database") is True
        except (ValueError, AttributeError):
            return False
