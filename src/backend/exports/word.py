"""A document for word processors (Office Open XML). It cannot be written in pieces: it is made, then read."""

import tempfile
from collections.abc import Iterable, Iterator

from docx import Document
from docx.document import Document as Doc
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

from backend.exports.clock import clock, moment
from backend.exports.paragraphs import Paragraph, paragraphs
from backend.exports.said import Heading, Said
from backend.exports.txt import title

IN_MEMORY_BYTES = 2 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
GREY = "606060"


def docx(lines: Iterable[Said], heading: Heading) -> Iterator[bytes]:
    document = Document()
    _describe(document, heading)
    document.add_heading(title(heading), level=1)
    for paragraph in paragraphs(lines, heading):
        _add(document, paragraph)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        document.save(file)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _describe(document: Doc, heading: Heading) -> None:
    """The template's own words about itself go."""
    properties = document.core_properties
    properties.title, properties.author, properties.comments = title(heading), "", ""
    properties.created = properties.modified = moment(heading.starts_at_ms).replace(tzinfo=None)
    properties.language = heading.language


def _add(document: Doc, paragraph: Paragraph) -> None:
    """As `Document.add_paragraph`, which looks through the whole document each time."""
    added = OxmlElement("w:p")
    added.append(_run(f"[{clock(paragraph.from_ms // 1000)}] ", "w:color", GREY))
    if paragraph.speaker:
        language = f" ({paragraph.language})" if paragraph.language else ""
        added.append(_run(f"{paragraph.speaker}{language}: ", "w:b", "1"))
    added.append(_run(paragraph.text))
    document.element.body.sectPr.addprevious(added)


def _run(text: str, property: str = "", value: str = "") -> OxmlElement:
    run = OxmlElement("w:r")
    if property:
        properties, single = OxmlElement("w:rPr"), OxmlElement(property)
        single.set(qn("w:val"), value)
        properties.append(single)
        run.append(properties)
    words = OxmlElement("w:t")
    words.text = text
    words.set(qn("xml:space"), "preserve")
    run.append(words)
    return run
