"""Exports as programs that are not ours read them: Chromium, ffmpeg, python-docx. One transcript, as hostile as any."""

import asyncio
import contextlib
import functools
import io
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from docx import Document

from backend.exports.cues import Cue, cues
from backend.exports.formats import Format, written
from backend.exports.harmless import plain
from backend.exports.said import Said
from tests.exports.lines import BEGAN_MS, HOSTILE, OF_MANY_LANGUAGES, said
from tests.support.browser import chromium, write_wav
from tests.support.clips import SAMPLE_RATE_HZ

TRANSCRIPT = [
    said(text, at_ms=1_000 + number * 8_000, lasts_ms=3_000, name="Ada <b>& Co</b> --> x", sequence=number)
    for number, text in enumerate(HOSTILE)
] + [
    said("meanwhile, another", at_ms=1_500, lasts_ms=5_000, speaker="bob", language="fr", sequence=99),
]
CLIP_S = 8
BRACES = str.maketrans({"{": "(", "}": ")", "\\": "\u29f5"})


def words(text: str) -> str:
    """All that is seen of it; a decoder may put characters of no width between."""
    return "".join(plain(text).split())


def expected(lines: list[Said] = TRANSCRIPT) -> list[Cue]:
    return list(cues(lines, starts_at_ms=BEGAN_MS))


def export(directory: Path, format: Format) -> Path:
    path = directory / f"clip.{format}"
    path.write_bytes(b"".join(written(format, TRANSCRIPT, OF_MANY_LANGUAGES)))
    return path


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        extensions_map: ClassVar = {**SimpleHTTPRequestHandler.extensions_map, ".vtt": "text/vtt"}

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=directory)) as server:
        thread = threading.Thread(target=server.serve_forever, name="files")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


PAGE = """<!doctype html><video muted><track default kind="captions" src="clip.vtt"></video>"""

READ_CUES = """async () => {
  const video = document.querySelector("video"), track = document.querySelector("track");
  // The server of this test cannot be asked for a part of a file, as seeking does.
  video.src = URL.createObjectURL(await (await fetch("clip.wav")).blob());
  if (track.readyState < 2) await new Promise((loaded) => track.addEventListener("load", loaded));
  return [...track.track.cues].map((cue) => {
    const shown = document.createElement("div");
    shown.append(cue.getCueAsHTML());
    const voice = shown.querySelector("span[title]");
    return {
      from: cue.startTime, to: cue.endTime, text: shown.textContent, voice: voice && voice.title,
      language: shown.querySelector("[lang]").lang,
      tags: [...new Set([...shown.querySelectorAll("*")].map((element) => element.tagName))],
    };
  });
}"""

PLAY = """async () => {
  const video = document.querySelector("video"), track = document.querySelector("track").track;
  const seen = [];
  track.addEventListener("cuechange", () => seen.push([...track.activeCues].map((cue) => cue.startTime)));
  video.playbackRate = 4;
  await video.play();
  await new Promise((ended) => video.addEventListener("ended", ended));
  return seen;
}"""


async def test_chromium_plays_webvtt_beside_a_clip(tmp_path: Path) -> None:
    export(tmp_path, Format.VTT)
    write_wav(tmp_path / "clip.wav", np.zeros(CLIP_S * SAMPLE_RATE_HZ, np.int16))
    (tmp_path / "index.html").write_text(PAGE)
    with served(tmp_path) as url:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(url)
            found: list[dict[str, Any]] = await page.evaluate(READ_CUES)
            seen: list[list[float]] = await asyncio.wait_for(page.evaluate(PLAY), 20)

    wanted = expected()
    assert [(round(cue["from"] * 1000), round(cue["to"] * 1000)) for cue in found] == [
        (cue.from_ms, cue.to_ms) for cue in wanted
    ]
    assert [cue["text"] for cue in found] == [cue.text.translate(BRACES) for cue in wanted]
    assert [cue["voice"] for cue in found] == [
        "Bob" if cue.said.speaker == "Bob" else "Ada \u2039b\u203a& Co\u2039/b\u203a --\u203a x"
        for cue in wanted
    ]
    assert [cue["language"] for cue in found] == [cue.said.language for cue in wanted]
    # A voice and a language, and never an element of anybody's.
    assert {tag for cue in found for tag in cue["tags"]} == {"SPAN"}
    assert [1.0, 1.5] in seen  # both at once
    assert [] in seen  # and silence between


@pytest.mark.parametrize("format", [Format.SRT, Format.VTT])
def test_ffmpeg_reads_subtitles(tmp_path: Path, format: Format) -> None:
    path = export(tmp_path, format)
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", path],
        capture_output=True,
        check=True,
        timeout=20,
    )
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-i", path, "-c:s", "srt", "-f", "srt", "-"],
        capture_output=True,
        check=True,
        timeout=20,
    )

    packets = json.loads(probed.stdout)["packets"]
    wanted = expected()
    assert probed.stderr == decoded.stderr == b""
    if format is Format.VTT:
        assert [
            (round(float(p["pts_time"]) * 1000), round(float(p["duration_time"]) * 1000)) for p in packets
        ] == [(cue.from_ms, cue.to_ms - cue.from_ms) for cue in wanted]
        assert [words(text) for text in texts_of(decoded.stdout)] == [
            words(cue.text.translate(BRACES)) for cue in wanted
        ]
    else:
        shown = re.findall(r"^\d+\n\S+ --> \S+\n((?:.+\n)+)", path.read_text(), flags=re.MULTILINE)
        assert len(packets) == len(shown)
        assert [words(text) for text in texts_of(decoded.stdout)] == [words(text) for text in shown]


def texts_of(srt: bytes) -> list[str]:
    return [cue.split("\n", 2)[2] for cue in srt.decode().replace("\r\n", "\n").strip("\n").split("\n\n")]


def test_python_docx_reads_the_document(tmp_path: Path) -> None:
    document = Document(io.BytesIO(export(tmp_path, Format.DOCX).read_bytes()))

    title, *paragraphs = [paragraph.text for paragraph in document.paragraphs]
    assert title == "Transcript of weekly, 2026-09-21 14:13:20 UTC"
    for text in HOSTILE:
        assert plain(text) in " ".join(paragraphs)
    assert paragraphs[0].startswith("[00:00:01] Ada <b>& Co</b> --> x (en): an arrow --> in the middle")
    assert paragraphs[-1] == "[00:00:01] Bob (fr): meanwhile, another"
