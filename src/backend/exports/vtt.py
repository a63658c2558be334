"""WebVTT (https://www.w3.org/TR/webvtt1/): a voice for each cue, and its language where there are several."""

import functools
import re
from collections.abc import Iterable, Iterator

from backend.exports.clock import iso, timestamp
from backend.exports.cues import cues
from backend.exports.harmless import LOOKALIKES, plain
from backend.exports.said import Heading, Said

_MARKUP = re.compile(r"[&<>{}\\]")
# Braces and backslashes mean nothing here; what ffmpeg makes of them does.
_ESCAPES = LOOKALIKES | str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_REFERENCE = re.compile("&(?=[#A-Za-z])")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}")


def vtt(lines: Iterable[Said], heading: Heading) -> Iterator[str]:
    yield _header(heading)
    voice_of = functools.lru_cache(_voice)
    has_several_languages = not heading.language
    for from_ms, _, to_ms, text, said in cues(lines, starts_at_ms=heading.starts_at_ms):
        if _MARKUP.search(text):
            text = text.translate(_ESCAPES)
        if has_several_languages and _LANGUAGE.fullmatch(said.language):
            text = f"<lang {said.language}>{text}</lang>"
        yield f"{timestamp(from_ms)} --> {timestamp(to_ms)}\n{voice_of(said.speaker)}{text}\n\n"


def _header(heading: Heading) -> str:
    language = f"Language: {heading.language}\n" if _LANGUAGE.fullmatch(heading.language) else ""
    room = plain(heading.room).translate(_ESCAPES)
    return (
        f"WEBVTT\nKind: captions\n{language}\nNOTE\nRoom: {room}\nBegins at: {iso(heading.starts_at_ms)}\n\n"
    )


def _voice(speaker: str) -> str:
    """Nothing, if nothing is left of the name: a voice must have one. ffmpeg knows no escapes within it."""
    name = _REFERENCE.sub("＆", plain(speaker).translate(LOOKALIKES))  # noqa: RUF001
    return f"<v {name}>" if name else ""
