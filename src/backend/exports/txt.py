"""Plain text: `[00:01:02] Ada: what she said`. No line begins with anything of anybody's."""

from collections.abc import Iterable, Iterator

from backend.exports.clock import clock, moment
from backend.exports.harmless import plain
from backend.exports.paragraphs import paragraphs
from backend.exports.said import Heading, Said


def title(heading: Heading) -> str:
    return f"Transcript of {plain(heading.room)}, {moment(heading.starts_at_ms):%Y-%m-%d %H:%M:%S} UTC"


def txt(lines: Iterable[Said], heading: Heading) -> Iterator[str]:
    yield f"{title(heading)}\n\n"
    for paragraph in paragraphs(lines, heading):
        language = f" ({paragraph.language})" if paragraph.language else ""
        speaker = f"{paragraph.speaker}{language}: " if paragraph.speaker else ""
        yield f"[{clock(paragraph.from_ms // 1000)}] {speaker}{paragraph.text}\n"
