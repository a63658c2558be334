"""What one speaker says in a row, for those who read instead of watch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backend.exports.harmless import plain
from backend.exports.said import Heading, Placed, Said, placed

LONGEST_MS = 60_000
MOST_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """`language` empty: it is the same for all."""

    from_ms: int
    speaker: str
    language: str
    text: str


def paragraphs(lines: Iterable[Said], heading: Heading) -> Iterator[Paragraph]:
    together: list[Placed] = []
    for line in placed(lines, starts_at_ms=heading.starts_at_ms):
        if together and not _goes_on(together, line):
            yield _paragraph(together, heading)
            together = []
        together.append(line)
    if together:
        yield _paragraph(together, heading)


def _goes_on(together: list[Placed], line: Placed) -> bool:
    first = together[0]
    return (
        line.said.speaker_identity == first.said.speaker_identity
        and line.said.speaker_name == first.said.speaker_name
        and line.said.language == first.said.language
        and line.from_ms - first.from_ms < LONGEST_MS
        and len(together) < MOST_LINES
    )


def _paragraph(together: list[Placed], heading: Heading) -> Paragraph:
    first = together[0]
    return Paragraph(
        from_ms=first.from_ms,
        speaker=plain(first.said.speaker),
        language="" if heading.language else plain(first.said.language),
        text=" ".join(line.text for line in together),
    )
