"""How long to wait before trying again. Pure."""

FIRST_S = 0.2
MOST_S = 1.5
"""So that captions are back within 2.5 s of their engine, with what was kept heard again."""


def backoff_s(attempt: int, *, jitter: float) -> float:
    """For attempt 1, 2, 3 …: 0.2 s doubling up to 1.5 s, and less by up to half; `jitter` is 0 to 1."""
    longest = min(MOST_S, FIRST_S * 2.0 ** min(attempt - 1, 10))
    return float(max(FIRST_S, longest * (1 - jitter / 2)))
