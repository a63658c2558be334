"""What an engine's HTTP status means to us, and how our faults leave LiveKit's streams; shared by the clients."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from livekit.agents import APIConnectionError

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused, TheirFault

REFUSED_STATUSES = frozenset({401, 402, 403, 404})
FULL_STATUSES = frozenset({429, 503})
MAX_RETRY_AFTER_S = 600.0
"""An engine that asks for more is asked again after this."""


def fault_of(*, status: int, headers: Mapping[str, str] | None) -> EngineFault:
    """Of a request that was answered with an error; `headers` look names up without case, as aiohttp's do."""
    wait_s = retry_after_s((headers or {}).get("Retry-After"), now=datetime.now(UTC))
    if status in REFUSED_STATUSES:
        return EngineRefused("the engine does not accept us", retry_after_s=wait_s, status=status)
    if status in FULL_STATUSES:
        return EngineFull("the engine has no room", retry_after_s=wait_s, status=status)
    return EngineLost("the engine cannot be reached", retry_after_s=wait_s, status=status)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """`Retry-After` as seconds from now, within 0 and MAX_RETRY_AFTER_S; None for what is neither of its forms.

    Source: RFC 9110, 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text[:9])
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, wait_s), MAX_RETRY_AFTER_S)


@contextlib.contextmanager
def faults_as_api_errors() -> Iterator[None]:
    """LiveKit's streams fail with an APIError; ours becomes its cause, so that the pipeline can tell why."""
    try:
        yield
    except TheirFault as fault:
        raise _api_error() from fault
    except ExceptionGroup as group:
        faults, others = group.split(TheirFault)
        if faults is None or others is not None:
            raise
        raise _api_error() from _first(faults)


def _first(group: ExceptionGroup[TheirFault]) -> TheirFault:
    """A task group within a task group makes a group within a group."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _api_error() -> APIConnectionError:
    return APIConnectionError("the engine's stream has failed", retryable=False)
