"""Each format: what it looks like, and that nothing in it is more than words."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from backend.exports.filenames import file_name
from backend.exports.formats import Format, written
from backend.exports.harmless import plain
from backend.exports.said import Heading, Said
from tests.exports.lines import BEGAN_MS, HEADING, HOSTILE, OF_MANY_LANGUAGES, said

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "docs/reference/transcript.schema.json").read_text()
)
OF_TEXT = [format for format in Format if format is not Format.DOCX]

CONVERSATION = (
    said("Good morning.", at_ms=1_000),
    said("Can everybody hear me?", at_ms=3_200, sequence=2),
    said("Oui, très bien.", at_ms=5_500, speaker="bob", language="fr", sequence=3),
    said("No name at all.", at_ms=9_000, speaker="", language="en", sequence=4, engine="human"),
)


def text_of(format: Format, *lines: Said, heading: Heading = HEADING) -> str:
    return b"".join(written(format, lines, heading)).decode()


def test_webvtt_has_a_voice_for_each_cue_and_its_language_where_there_are_several() -> None:
    assert text_of(Format.VTT, *CONVERSATION, heading=OF_MANY_LANGUAGES) == (
        "WEBVTT\nKind: captions\n\n"
        "NOTE\nRoom: weekly\nBegins at: 2026-09-21T14:13:20.000Z\n\n"
        "00:00:01.000 --> 00:00:03.000\n<v Ada><lang en>Good morning.</lang>\n\n"
        "00:00:03.200 --> 00:00:05.200\n<v Ada><lang en>Can everybody hear me?</lang>\n\n"
        "00:00:05.500 --> 00:00:07.500\n<v Bob><lang fr>Oui, très bien.</lang>\n\n"
        "00:00:09.000 --> 00:00:11.000\n<lang en>No name at all.</lang>\n\n"
    )
    assert text_of(Format.VTT, CONVERSATION[0]).startswith("WEBVTT\nKind: captions\nLanguage: en\n\nNOTE\n")
    assert "<v Ada>Good morning.\n" in text_of(Format.VTT, CONVERSATION[0])


def test_subrip_names_the_speaker_of_each_line() -> None:
    assert text_of(Format.SRT, *CONVERSATION[2:]) == (
        "1\n00:00:05,500 --> 00:00:07,500\nBob: Oui, très bien.\n\n"
        "2\n00:00:09,000 --> 00:00:11,000\nNo name at all.\n\n"
    )


def test_plain_text_puts_together_what_one_speaker_says_in_a_row() -> None:
    assert text_of(Format.TXT, *CONVERSATION, heading=OF_MANY_LANGUAGES) == (
        "Transcript of weekly, 2026-09-21 14:13:20 UTC\n\n"
        "[00:00:01] Ada (en): Good morning. Can everybody hear me?\n"
        "[00:00:05] Bob (fr): Oui, très bien.\n"
        "[00:00:09] No name at all.\n"
    )


def test_a_monologue_has_a_timestamp_every_minute() -> None:
    monologue = [said("and on", at_ms=at_s * 1000, sequence=at_s) for at_s in range(0, 180, 5)]

    stamps = re.findall(r"^\[(.*?)\]", text_of(Format.TXT, *monologue), flags=re.MULTILINE)
    assert stamps == ["00:00:00", "00:01:00", "00:02:00"]


def test_json_is_as_its_schema_says() -> None:
    document = json.loads(text_of(Format.JSON, *CONVERSATION, heading=OF_MANY_LANGUAGES))

    jsonschema.validate(document, SCHEMA)
    assert document["language"] is None
    assert [line["offset_ms"] for line in document["lines"]] == [1_000, 3_200, 5_500, 9_000]
    assert [line["human"] for line in document["lines"]] == [False, False, False, True]


@pytest.mark.parametrize("format", OF_TEXT)
def test_nothing_that_anybody_says_is_more_than_words(format: Format) -> None:
    hostile = [
        said(text, at_ms=number * 5_000, name=text, speaker=text, sequence=number, language=text)
        for number, text in enumerate(HOSTILE)
    ]
    whole = text_of(format, *hostile, heading=Heading(room=HOSTILE[2], starts_at_ms=BEGAN_MS, language=""))

    assert not re.search(
        "[\0-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]", whole
    )
    assert not re.search(r"^[\s\u200c-\u200f]*[=+\-@]", whole.replace("\u00a0", "."), flags=re.MULTILINE)
    STRUCTURE[format](whole)


def is_webvtt(whole: str) -> None:
    head, note, *cues = whole.removesuffix("\n\n").split("\n\n")
    assert head.startswith("WEBVTT\n")
    assert note.startswith("NOTE\n")
    assert "-->" not in note
    times = re.compile(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}")
    for cue in cues:
        timing, *payload = cue.split("\n")
        assert times.fullmatch(timing)
        assert 1 <= len(payload) <= 2
        assert "-->" not in "".join(payload)
        assert not re.search("[<>]", re.sub(r"<v [^<>\n]+>|</?lang[ \w-]*>", "", "".join(payload)))


def is_subrip(whole: str) -> None:
    for number, cue in enumerate(whole.removesuffix("\n\n").split("\n\n"), start=1):
        index, timing, *payload = cue.split("\n")
        assert index == str(number)
        assert re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", timing)
        assert 1 <= len(payload) <= 2
        assert not re.search(r"-->|[<>{}\\]", "".join(payload))


def is_text(whole: str) -> None:
    title, nothing, *lines = whole.removesuffix("\n").split("\n")
    assert title.startswith("Transcript of ")
    assert nothing == ""
    assert all(re.match(r"\[\d\d:\d\d:\d\d\] ", line) for line in lines)
    assert len(lines) == len(HOSTILE)


def is_json(whole: str) -> None:
    document = json.loads(whole)
    jsonschema.validate(document, SCHEMA)
    assert [line["text"] for line in document["lines"]] == [plain(text) for text in HOSTILE]
    assert "<" not in whole


STRUCTURE = {
    Format.VTT: is_webvtt,
    Format.SRT: is_subrip,
    Format.TXT: is_text,
    Format.JSON: is_json,
}


def test_words_are_kept_whatever_is_around_them() -> None:
    assert plain("NUL\0and\x1b[31mcontrols\x07 bell\x08") == "NULand[31mcontrols bell"
    assert plain("zero\u200bwidth \ufeffmark") == "zerowidth mark"
    assert plain(" a\n\n b\u2028c\t ") == "a b c"
    assert plain("mi\u200cpersian \u200calone\u200d 👩\u200d\u200d👧") == "mi\u200cpersian alone 👩\u200d👧"
    assert plain("\u202e\u2066\0\n") == ""


@pytest.mark.parametrize("format", OF_TEXT)
def test_without_lines_a_file_is_empty_and_valid(format: Format) -> None:
    whole = text_of(format)

    if format is Format.JSON:
        jsonschema.validate(json.loads(whole), SCHEMA)
    assert {Format.SRT: whole == "", Format.VTT: whole.startswith("WEBVTT\n")}.get(format, whole)


def test_a_document_holds_nothing_of_its_template() -> None:
    document = b"".join(written(Format.DOCX, CONVERSATION, HEADING))

    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        core = archive.read("docProps/core.xml").decode()
    assert "python-docx" not in core
    assert "2013" not in core


@pytest.mark.parametrize("format", OF_TEXT)
def test_the_first_bytes_do_not_wait_for_the_last_line(format: Format) -> None:
    taken = 0

    def lines() -> Iterator[Said]:
        nonlocal taken
        for taken in range(20_000):
            yield said("something that somebody says", at_ms=taken * 3_000, sequence=taken)

    first = next(written(format, lines(), HEADING))

    assert 0 < len(first) < 200_000
    assert taken < 5_000


@pytest.mark.parametrize(
    ("recording", "room", "language", "expected"),
    [
        ("2026-09-21-weekly.mp4", "weekly", "", "2026-09-21-weekly.vtt"),
        ("weekly.final.webm", "weekly", "fr", "weekly.final.fr.vtt"),
        ("", "weekly", "", "weekly-2026-09-21.vtt"),
        ("", "../../etc/passwd", "", "_.._etc_passwd-2026-09-21.vtt"),
        ("..", 'a"b\r\nX-Injected: yes', "", "a_b X-Injected_ yes-2026-09-21.vtt"),
        ("", "\u202e\0", "", "room-2026-09-21.vtt"),
        (".hidden", "", "../x", "hidden._x.vtt"),
        ("会議.mp4", "", "", "会議.vtt"),
        ("x" * 300 + ".mp4", "", "", "x" * 100 + ".vtt"),
    ],
)
def test_a_file_is_named_like_the_recording_and_fits_every_file_system(
    recording: str, room: str, language: str, expected: str
) -> None:
    name = file_name(
        format=Format.VTT, room=room, starts_at_ms=BEGAN_MS, recording=recording, language=language
    )

    assert name == expected
