"""Word error rate and real-time factor of the bundled recogniser, clip by clip. Prints Markdown.

Over the samples of the project, and over the clips of SPEECH_DIR when that is set (`.wav` or `.flac`, 16 kHz
mono, a `.txt` beside each). "As it comes" is pocketsphinx with its defaults, in this process; "tuned" is a real
speech server, asked for whole files and over its socket at the pace of speech, its processes counted together.
The real-time factor is processor time by the clip's length.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import psutil  # noqa: E402
from pocketsphinx import Decoder  # noqa: E402

from tests.support.audio_files import pcm_and_text  # noqa: E402
from tests.support.speech import BYTES_PER_SECOND, MODEL, SAMPLES, RunningSpeech, realtime  # noqa: E402
from tests.support.words import word_error_rate  # noqa: E402

STREAM_STEP_BYTES = BYTES_PER_SECOND // 10


@dataclass(frozen=True, kw_only=True)
class Clip:
    name: str
    pcm: bytes
    text: str

    @property
    def seconds(self) -> float:
        return len(self.pcm) / BYTES_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one way of asking read one clip."""

    error_rate: float
    real_time_factor: float
    final_after_s: float = 0.0
    """From the end of the clip to `done`."""


def clips() -> list[Clip]:
    folders = [SAMPLES, *([Path(os.environ["SPEECH_DIR"])] if os.environ.get("SPEECH_DIR") else [])]
    texts = [text for folder in folders for text in sorted(folder.glob("*.txt"))]
    return [Clip(name=path.stem, pcm=pcm, text=text) for path in texts for pcm, text in [pcm_and_text(path)]]


def as_it_comes(clip: Clip, steps: Iterable[bytes], *, whole: bool) -> Reading:
    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    began = time.process_time()
    decoder.start_utt()
    for step in steps:
        decoder.process_raw(step, full_utt=whole)
    decoder.end_utt()
    took_s = time.process_time() - began
    understood = decoder.hyp().hypstr if decoder.hyp() else ""
    return Reading(error_rate=word_error_rate(clip.text, understood), real_time_factor=took_s / clip.seconds)


def as_it_comes_whole(clip: Clip) -> Reading:
    return as_it_comes(clip, [clip.pcm], whole=True)


def as_it_comes_streamed(clip: Clip) -> Reading:
    steps = (clip.pcm[at : at + STREAM_STEP_BYTES] for at in range(0, len(clip.pcm), STREAM_STEP_BYTES))
    return as_it_comes(clip, steps, whole=False)


def tuned_whole(clip: Clip, speech: RunningSpeech) -> Reading:
    before_s = processor_s(speech)
    understood = upload(clip, speech)
    return Reading(
        error_rate=word_error_rate(clip.text, understood),
        real_time_factor=(processor_s(speech) - before_s) / clip.seconds,
    )


async def tuned_streamed(clip: Clip, speech: RunningSpeech) -> Reading:
    before_s = processor_s(speech)
    async with realtime(speech) as client:
        understood = await client.say(clip.pcm)
        final_after_s = time.monotonic() - client.began - clip.seconds
    return Reading(
        error_rate=word_error_rate(clip.text, understood),
        real_time_factor=(processor_s(speech) - before_s) / clip.seconds,
        final_after_s=final_after_s,
    )


def processor_s(speech: RunningSpeech) -> float:
    """Of the server and all its decoders."""
    server = psutil.Process(speech.pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def upload(clip: Clip, speech: RunningSpeech) -> str:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"{{}}\r\n\r\n'
    fields = [("model", MODEL), ("response_format", "text")]
    body = b"".join(f"{head.format(name, '')}{value}\r\n".encode() for name, value in fields)
    body += (
        head.format("file", '; filename="clip.wav"').encode()
        + wav(clip.pcm)
        + f"\r\n--{boundary}--\r\n".encode()
    )
    request = urllib.request.Request(
        f"{speech.url}/v1/audio/transcriptions",
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return str(answer.read().decode()).strip()


def wav(pcm: bytes) -> bytes:
    def number(value: int, size: int = 4) -> bytes:
        return value.to_bytes(size, "little")

    layout = number(1, 2) + number(1, 2) + number(16_000) + number(32_000) + number(2, 2) + number(16, 2)
    chunks = b"WAVEfmt " + number(16) + layout + b"data" + number(len(pcm)) + pcm
    return b"RIFF" + number(len(chunks)) + chunks


def table(rows: list[tuple[Clip, list[Reading]]]) -> str:
    lines = [
        "| clip | seconds | as it comes, file | as it comes, live | tuned, file | tuned, live | final after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for clip, readings in rows:
        cells = [f"{reading.error_rate:.0%} · {reading.real_time_factor:.2f}" for reading in readings]
        after = f"{readings[-1].final_after_s:.2f} s"
        lines.append(f"| {clip.name} | {clip.seconds:.1f} | {' | '.join(cells)} | {after} |")
    return "\n".join([*lines, mean_line(rows)])


def mean_line(rows: list[tuple[Clip, list[Reading]]]) -> str:
    def mean(column: int, of: Callable[[Reading], float]) -> float:
        return statistics.mean(of(readings[column]) for _, readings in rows)

    cells = [
        f"{mean(column, lambda r: r.error_rate):.0%} · {mean(column, lambda r: r.real_time_factor):.2f}"
        for column in range(len(rows[0][1]))
    ]
    after = mean(-1, lambda r: r.final_after_s)
    return f"| mean | {sum(clip.seconds for clip, _ in rows):.1f} | {' | '.join(cells)} | {after:.2f} s |"


async def at_once(speech: RunningSpeech, together: list[Clip]) -> str:
    readings = await asyncio.gather(*(tuned_streamed(clip, speech) for clip in together))
    rates = ", ".join(f"{r.error_rate:.0%}" for r in readings)
    slowest_s = max(r.final_after_s for r in readings)
    return f"| {len(together)} | {', '.join(clip.name for clip in together)} | {rates} | {slowest_s:.2f} s |"


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory, RunningSpeech(Path(directory), sessions=4) as speech:
        wanted = clips()
        rows = []
        for clip in wanted:
            whole, streamed = as_it_comes_whole(clip), as_it_comes_streamed(clip)
            rows.append(
                (clip, [whole, streamed, tuned_whole(clip, speech), await tuned_streamed(clip, speech)])
            )
        print("Word error rate · real-time factor:\n")
        print(table(rows))
        print(
            "\nAt once:\n\n| speakers | clips | word error rate | slowest final after |\n| ---: | --- | --- | ---: |"
        )
        for speakers in (1, 2, 3, 4):
            print(await at_once(speech, wanted[:speakers]))


if __name__ == "__main__":
    asyncio.run(main())
