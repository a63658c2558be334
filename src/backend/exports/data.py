"""JSON for programs: docs/reference/transcript.schema.json describes it. A line of the file for each line."""

import json
from collections.abc import Iterable, Iterator

from backend.exports.clock import iso
from backend.exports.harmless import plain
from backend.exports.said import Heading, Placed, Said, placed

VERSION = 1


def data(lines: Iterable[Said], heading: Heading) -> Iterator[str]:
    head = {
        "version": VERSION,
        "room": plain(heading.room),
        "starts_at": iso(heading.starts_at_ms),
        "starts_at_ms": heading.starts_at_ms,
        "language": plain(heading.language) or None,
    }
    yield f'{_dumped(head)[:-1]},"lines":['
    comma = ""
    for line in placed(lines, starts_at_ms=heading.starts_at_ms):
        yield f"{comma}\n{_dumped(_line(line))}"
        comma = ","
    yield "\n]}\n"


def _line(line: Placed) -> dict[str, object]:
    said = line.said
    return {
        "id": str(said.id),
        "sequence": said.sequence,
        "revision": said.revision,
        "speaker_identity": plain(said.speaker_identity),
        "speaker_name": plain(said.speaker_name),
        "language": plain(said.language),
        "start_ms": said.start_ms,
        "end_ms": said.end_ms,
        "offset_ms": line.from_ms,
        "engine": plain(said.engine),
        "human": said.is_human,
        "corrected": said.is_corrected,
        "text": line.text,
    }


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _dumped(value: object) -> str:
    """Without `<`: such a file may be put into a page."""
    return _encode(value).replace("<", "\\u003c")
