"""Whether silence may be held against a worker: only while it could have been heard."""

import json
import time
import urllib.request

from contract.names import PATH_READY

UNBROKEN_FOR_S = 5.0
ASK_EVERY_S = 1.0
MOST_BETWEEN_ROUNDS_S = 2.0
"""Without a look for longer, the keeper itself was away or stopped."""
ASK_TIMEOUT_S = 0.5
"""A backend slower than this cannot be trusted to have heard every heartbeat in time."""


class BackendWatch:
    """Asks the backend at the address the workers use."""

    def __init__(
        self, backend_url: str, *, ask_every_s: float = ASK_EVERY_S, unbroken_for_s: float = UNBROKEN_FOR_S
    ) -> None:
        self._url = f"{backend_url}{PATH_READY}"
        self._ask_every_s, self._unbroken_for_s = ask_every_s, unbroken_for_s
        self._answers_since_s: float | None = None
        self._asked_at_s = 0.0

    def has_answered_without_a_break(self) -> bool:
        """Asks only so often; in between the last answer counts."""
        # Not the monotonic clock: it stands still while a machine sleeps, and then nobody was heard either.
        now_s = time.time()
        if not 0 <= now_s - self._asked_at_s <= self._ask_every_s + MOST_BETWEEN_ROUNDS_S:
            self._answers_since_s = None
        if abs(now_s - self._asked_at_s) >= self._ask_every_s:
            self._asked_at_s = now_s
            if not self._answers():
                self._answers_since_s = None
            elif self._answers_since_s is None:
                self._answers_since_s = now_s
        return self._answers_since_s is not None and now_s - self._answers_since_s >= self._unbroken_for_s

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=ASK_TIMEOUT_S) as response:
                return bool(json.load(response)["database"])
        except (OSError, ValueError, LookupError, TypeError):
            return False
