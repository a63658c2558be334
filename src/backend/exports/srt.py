"""SubRip. It has no voices, so each line begins with its speaker's name, and no escapes, so what players take for
markup is written with characters that look alike."""

import functools
import re
from collections.abc import Iterable, Iterator

from backend.exports.clock import timestamp
from backend.exports.cues import cues
from backend.exports.harmless import LOOKALIKES, plain
from backend.exports.layout import shortened
from backend.exports.said import Heading, Said

MOST_NAME_COLUMNS = 24

_MARKUP = re.compile(r"[<>{}\\]")


def srt(lines: Iterable[Said], heading: Heading) -> Iterator[str]:
    name_of = functools.lru_cache(_name)

    def text_of(said: Said) -> str:
        text = f"{name_of(said.speaker)}{said.text}"
        return text.translate(LOOKALIKES) if _MARKUP.search(text) else text

    found = cues(lines, starts_at_ms=heading.starts_at_ms, text_of=text_of)
    for number, (from_ms, _, to_ms, text, _) in enumerate(found, start=1):
        yield f"{number}\n{timestamp(from_ms, ',')} --> {timestamp(to_ms, ',')}\n{text}\n\n"


def _name(speaker: str) -> str:
    name = shortened(plain(speaker), most=MOST_NAME_COLUMNS)
    return f"{name}: " if name else ""
