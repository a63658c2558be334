"""Speech-to-caption latency, CPU and memory of the running line, through a real room. Prints Markdown.

Starts `make run` on free ports, publishes the sample clips at real-time pace, and follows the captions as any viewer
would. When a word was said is known from a forced alignment of the clip with its text; a word's latency is the
arrival of the first caption that shows it, less the moment its last sample was published. One machine, one clock.
"""

import argparse
import asyncio
import difflib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from pocketsphinx import Decoder  # noqa: E402

from contract.status import State  # noqa: E402
from tests.support.clips import SAMPLE_RATE_HZ, clip, silence, words  # noqa: E402
from tests.support.livekit import livekit_binary  # noqa: E402
from tests.support.people import Caption, Speaker, Viewer  # noqa: E402
from tests.support.stack import RunningStack  # noqa: E402

VOICES = ("slt", "rms", "awb", "kal16")
PROCESSES = ("livekit", "backend", "keeper", "subtitles", "speech")
IDLE_S, SPEAKING_S = 10.0, 40.0
BETWEEN_CLIPS_S = 4.0
FRAMES_PER_S = 100  # of pocketsphinx's alignment


@dataclass
class Latencies:
    """Seconds from the end of a word to the first caption that shows it; of finals, from the end of the last word."""

    interims: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Load:
    cpu_percent: float
    """Of one core."""
    pss_mib: float
    processes: int


def word_ends_s(voice: str) -> list[tuple[str, float]]:
    """Each word of a clip and when it ends, in seconds from the clip's beginning."""
    decoder = Decoder(samprate=SAMPLE_RATE_HZ, bestpath=False, loglevel="FATAL")
    decoder.set_align_text(words(voice))
    decoder.start_utt()
    decoder.process_raw(clip(voice).tobytes(), full_utt=True)
    decoder.end_utt()
    spoken = [
        (s.word.split("(")[0], s.end_frame / FRAMES_PER_S) for s in decoder.seg() if s.word[0] not in "<[("
    ]
    if [word for word, _ in spoken] != words(voice).split():
        raise RuntimeError(f"{voice} could not be aligned with its text")
    return spoken


def latencies_of(
    captions: Sequence[Caption], *, said_at: float, ends_s: Sequence[tuple[str, float]]
) -> Latencies:
    """`said_at`: when the clip's first sample was published (monotonic), as captions' `at`."""
    found = Latencies()
    reference = [word for word, _ in ends_s]
    shown: dict[str, list[str]] = {}
    seen: set[int] = set()
    for caption in captions:
        shown[caption.segment.id] = caption.segment.text.lower().split()
        heard = [word for text in shown.values() for word in text]
        before = len(heard) - len(shown[caption.segment.id])
        blocks = difflib.SequenceMatcher(None, reference, heard, autojunk=False).get_matching_blocks()
        matched = {b.a + i: b.b + i for b in blocks for i in range(b.size)}
        for index in matched.keys() - seen:
            seen.add(index)
            found.interims.append(caption.at - said_at - ends_s[index][1])
        in_this = [index for index, position in matched.items() if position >= before]
        if caption.segment.is_final and in_this:
            found.finals.append(caption.at - said_at - ends_s[max(in_this)][1])
    return found


async def start_subtitles(stack: RunningStack, viewer: Viewer, room: str) -> None:
    """Until they are live."""
    request = urllib.request.Request(
        f"{stack.base_url}/api/v1.0/rooms/{room}/subtitles/",
        method="POST",
        headers={"Authorization": f"Bearer {stack.livekit.token(room, 'viewer')}"},
    )
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=5):
        await viewer.until(lambda seen: any(n.status.state is State.LIVE for n in seen.notices), timeout_s=30)


async def speak(
    viewer: Viewer, speaker: Speaker, voice: str, pcm: NDArray[np.int16]
) -> tuple[str, str, float]:
    """(identity, voice, when the first sample was published)."""
    started = time.monotonic()
    await speaker.say(pcm)
    return speaker.identity, voice, started


async def measure_latency(stack: RunningStack, *, speakers: int, rounds: int) -> Latencies:
    """Clips in turn from each speaker; with two, both speak at once."""
    found = Latencies()
    ends = {voice: word_ends_s(voice) for voice in VOICES}
    room = f"bench-latency-{speakers}"
    async with Viewer(stack.livekit, room) as viewer:
        people = [Speaker(stack.livekit, room, f"speaker-{n}") for n in range(speakers)]
        for person in people:
            await person.__aenter__()
        await start_subtitles(stack, viewer, room)
        for turn in range(rounds * len(VOICES)):
            already = len(viewer.captions)
            said = await asyncio.gather(
                *(
                    speak(viewer, person, voice, np.concatenate([clip(voice), silence(BETWEEN_CLIPS_S)]))
                    for n, person in enumerate(people)
                    for voice in [VOICES[(turn + n) % len(VOICES)]]
                )
            )
            for identity, voice, said_at in said:
                captions = [c for c in viewer.captions[already:] if c.sender == identity]
                one = latencies_of(captions, said_at=said_at, ends_s=ends[voice])
                found.interims += one.interims
                found.finals += one.finals
        for person in people:
            await person.leave()
    return found


async def measure_load(stack: RunningStack) -> dict[str, dict[str, Load]]:
    """Per process, idle and with two people speaking without a pause between clips."""
    idle = await _loads(stack, IDLE_S)
    room = "bench-load"
    async with (
        Viewer(stack.livekit, room) as viewer,
        Speaker(stack.livekit, room, "ada") as ada,
        Speaker(stack.livekit, room, "bob") as bob,
    ):
        await start_subtitles(stack, viewer, room)
        talk = np.concatenate([clip(voice) for voice in VOICES])
        talking = [
            asyncio.create_task(_talk_on(ada, talk)),
            asyncio.create_task(_talk_on(bob, np.roll(talk, -len(clip("slt"))))),
        ]
        await asyncio.sleep(5)  # into the middle of it
        speaking = await _loads(stack, SPEAKING_S)
        for task in talking:
            task.cancel()
        await asyncio.wait(talking)
    return {"idle": idle, "two speakers": speaking}


async def _talk_on(speaker: Speaker, pcm: NDArray[np.int16]) -> None:
    while True:
        await speaker.say(pcm)


async def _loads(stack: RunningStack, seconds: float) -> dict[str, Load]:
    before = {name: _cpu_s(stack.pid(name)) for name in PROCESSES}
    started = time.monotonic()
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - started
    return {
        name: Load(
            cpu_percent=100 * (_cpu_s(stack.pid(name)) - before[name]) / took_s,
            pss_mib=sum(p.memory_full_info().pss for p in _tree(stack.pid(name))) / 2**20,
            processes=len(_tree(stack.pid(name))),
        )
        for name in PROCESSES
    }


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(pid: int) -> float:
    return sum(p.cpu_times().user + p.cpu_times().system for p in _tree(pid))


def machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory_gib = psutil.virtual_memory().total / 2**30
    livekit = subprocess.run(
        [livekit_binary(), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("livekit-agents", "livekit", "pocketsphinx", "django")
    )
    return (
        f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB; Python {platform.python_version()}, "
        f"livekit-server {livekit[-1]}, {packages}; load average {os.getloadavg()[0]:.1f} before"
    )


def latency_row(name: str, seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return f"| {name} | {len(ordered)} | {statistics.median(ordered) * 1000:.0f} | {p95 * 1000:.0f} |"


async def bench(rounds: int) -> str:
    lines = [f"Machine: {machine()}.", ""]
    with tempfile.TemporaryDirectory() as directory, RunningStack(Path(directory) / "data") as stack:
        loads = await measure_load(stack)
        lines += ["| from a word's end to a viewer | n | median ms | p95 ms |", "| --- | --- | --- | --- |"]
        for speakers in (1, 2):
            found = await measure_latency(stack, speakers=speakers, rounds=rounds)
            who = f"{speakers} speaking"
            lines.append(latency_row(f"first caption that shows the word, {who}", found.interims))
            lines.append(latency_row(f"final that ends with the word, {who}", found.finals))
    lines += [
        "",
        "| process | when | CPU, % of a core | PSS, MiB | processes |",
        "| --- | --- | --- | --- | --- |",
    ]
    for when, by_process in loads.items():
        for name, load in by_process.items():
            lines.append(
                f"| {name} | {when} | {load.cpu_percent:.1f} | {load.pss_mib:.0f} | {load.processes} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    print(asyncio.run(bench(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
