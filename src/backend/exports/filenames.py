"""What an exported file is called."""

import re

from backend.exports.clock import moment
from backend.exports.formats import Format
from backend.exports.harmless import plain

MOST_CHARACTERS = 100

_UNFIT = re.compile(r'[\\/:*?"<>|\u200e\u200f\u061c]')
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def file_name(
    *, format: Format, room: str, starts_at_ms: int, recording: str = "", language: str = ""
) -> str:
    """Like the recording, so that players find it beside it; else of the room and its day."""
    name = _fit(_EXTENSION.sub("", recording)) or f"{_fit(room) or 'room'}-{moment(starts_at_ms):%Y-%m-%d}"
    of_language = f".{_fit(language)}" if language else ""
    return f"{name}{of_language}.{format}"


def _fit(name: str) -> str:
    """For every file system, and hidden on none."""
    return _UNFIT.sub("_", plain(name))[:MOST_CHARACTERS].strip(". ")
