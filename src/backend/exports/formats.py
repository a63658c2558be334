"""The formats there are, and lines in one of them as bytes: in chunks, as they come."""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping

from backend.exports.data import data
from backend.exports.said import Heading, Said
from backend.exports.srt import srt
from backend.exports.txt import txt
from backend.exports.vtt import vtt

CHUNK_CHARACTERS = 64 * 1024


class Format(enum.StrEnum):
    """Its value is the file's extension, too."""

    VTT = "vtt"
    SRT = "srt"
    TXT = "txt"
    JSON = "json"
    DOCX = "docx"


CONTENT_TYPES: Mapping[Format, str] = {
    Format.VTT: "text/vtt; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.TXT: "text/plain; charset=utf-8",
    Format.JSON: "application/json",
    Format.DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}

_OF_TEXT: Mapping[Format, Callable[[Iterable[Said], Heading], Iterator[str]]] = {
    Format.VTT: vtt,
    Format.SRT: srt,
    Format.TXT: txt,
    Format.JSON: data,
}


def written(format: Format, lines: Iterable[Said], heading: Heading) -> Iterator[bytes]:
    """`lines` in display order. What is in memory at once does not grow with their number, but for DOCX."""
    if format is Format.DOCX:
        # Its library takes time and memory to import: not in processes that make none.
        from backend.exports.word import docx

        return docx(lines, heading)
    return _chunks(_OF_TEXT[format](lines, heading))


def _chunks(pieces: Iterable[str]) -> Iterator[bytes]:
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= CHUNK_CHARACTERS:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered).encode()
