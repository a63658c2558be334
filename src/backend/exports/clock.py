"""Moments as people and players read them."""

import datetime
import functools

# Looked up, not formatted: a long meeting's subtitles have tens of thousands of timestamps.
_TWO_DIGITS = [f"{number:02}" for number in range(60)]
_THREE_DIGITS = [f"{number:03}" for number in range(1000)]


def timestamp(offset_ms: int, separator: str = ".") -> str:
    """`3_723_004` becomes `01:02:03.004`; hours may pass 99. https://www.w3.org/TR/webvtt1/#webvtt-timestamp"""
    minutes, ms = divmod(offset_ms, 60_000)
    return f"{_minute(minutes)}{_TWO_DIGITS[ms // 1000]}{separator}{_THREE_DIGITS[ms % 1000]}"


def clock(seconds: int) -> str:
    return f"{_minute(seconds // 60)}{_TWO_DIGITS[seconds % 60]}"


@functools.lru_cache
def _minute(minutes: int) -> str:
    return f"{minutes // 60:02}:{_TWO_DIGITS[minutes % 60]}:"


def moment(epoch_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_ms / 1000, tz=datetime.UTC)


def iso(epoch_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return moment(epoch_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
