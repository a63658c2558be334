"""Marked utterances, and somebody who says them into the pipeline from the gate on."""

import asyncio
from collections.abc import Sequence as Several
from itertools import count

import numpy as np
from livekit import rtc
from livekit.agents import stt

from agents.audio.clock import AudioClock
from agents.audio.gate import Passage
from agents.audio.pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ
from agents.audio.unconfirmed import Unconfirmed
from agents.rooms.chain import Chain
from agents.rooms.progress import Progress
from agents.rooms.recogniser import Recogniser
from agents.segments.segmenter import Segmenter, Sequence, Speaker
from contract.segments import Segment
from tests.support.deepgram.markers import Pcm, with_markers

EPOCH_MS = 1_000_000
PAUSE_FRAMES = 40
HUM_HZ, HUM_AMPLITUDE = 200, 1_500
"""Beneath the words, so that no engine takes what is between them for a pause."""


def utterance(*codes: int, seconds: float = 1.6) -> Pcm:
    """(n,) int16, mono, 16 kHz: the words evenly over it, with room at both ends."""
    at_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hum = (HUM_AMPLITUDE * np.sin(2 * np.pi * HUM_HZ * at_s)).astype(np.int16)
    apart_s = seconds / (len(codes) + 1)
    return with_markers(hum, [(apart_s * (n + 1) - 0.05, code) for n, code in enumerate(codes)])


def frames_of(pcm: Pcm) -> list[Pcm]:
    """Of 20 ms."""
    return [pcm[at : at + FRAME_SAMPLES] for at in range(0, len(pcm), FRAME_SAMPLES)]


def push(stream: stt.RecognizeStream, pcm: Pcm) -> None:
    """As the pipeline gives it to a stream."""
    for frame in frames_of(pcm):
        stream.push_frame(rtc.AudioFrame(frame.tobytes(), SAMPLE_RATE_HZ, 1, FRAME_SAMPLES))


class Microphone:
    """One speaker's pipeline behind the gate, and what viewers would see."""

    def __init__(self, chain: Chain) -> None:
        ids = count()
        self.shown: list[Segment] = []
        self.uttered_ms: list[tuple[int, int]] = []
        """From when to when each utterance lasted."""
        self._number = 0
        self._clock, self._unconfirmed = AudioClock(), Unconfirmed()
        self._has_shown = asyncio.Event()
        self._recogniser = Recogniser(
            chain=chain,
            unconfirmed=self._unconfirmed,
            segmenter=Segmenter(
                speaker=lambda: Speaker(identity="ada", name="Ada"),
                track_sid="TR_ada",
                engine="none",
                language=lambda: "en",
                sequence=Sequence(1),
                new_id=lambda: f"s{next(ids)}",
            ),
            clock=self._clock,
            now_ms=lambda: 0.0,
            language=lambda: "en",
            deliver=self._deliver,
            progress=Progress(lambda: None),
            on_audio=lambda **_: None,
        )

    @property
    def lines(self) -> list[Segment]:
        """The newest revision of each."""
        return list({segment.id: segment for segment in self.shown}.values())

    async def say(self, utterances: Several[Pcm], *, pace_s: float = 0.0, waits: bool = False) -> None:
        """All of it, to the last word; a frame each `pace_s`. `waits`: the next begins when the one before is final."""
        recognising = asyncio.create_task(self._recogniser.run())
        try:
            for number, pcm in enumerate(utterances):
                await self._say(pcm, pace_s=pace_s)
                if waits:
                    await self._until_final(number + 1)
            await self._recogniser.finished()
        finally:
            recognising.cancel()
            await asyncio.wait({recognising})

    async def _say(self, pcm: Pcm, *, pace_s: float) -> None:
        frames, begin = frames_of(pcm), self._number
        for index, frame in enumerate(frames):
            self._clock.heard(frames=self._number + 1, now_ms=EPOCH_MS + (self._number + 1) * FRAME_MS)
            is_last = index == len(frames) - 1
            self._unconfirmed.add(
                Passage(first=self._number, frames=(frame,), begins=index == 0, ends=is_last)
            )
            self._number += 1
            self._recogniser.audio_came()
            await asyncio.sleep(pace_s)
        self.uttered_ms.append((EPOCH_MS + begin * FRAME_MS, EPOCH_MS + self._number * FRAME_MS))
        self._number += PAUSE_FRAMES

    async def _until_final(self, count: int) -> None:
        while sum(line.is_final for line in self.lines) < count:
            self._has_shown.clear()
            await self._has_shown.wait()

    async def _deliver(self, segments: Several[Segment]) -> None:
        self.shown += segments
        self._has_shown.set()
