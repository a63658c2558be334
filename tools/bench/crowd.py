"""The people of the bench, in a process of their own: `python -m tools.bench.crowd`, asked in lines of JSON.

Each publishes at the pace of real time, 10 ms at a time and without a queue, as a sound card does. When a marked
word's last sample was given to LiveKit is noted. A large crowd costs less when it is `ahead`: 100 ms at a time into
LiveKit's own queue, which paces them; a word's time is then that at which the queue lets its last sample go.
"""

import asyncio
import gc
import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from livekit import rtc
from livekit.rtc.participant import PublishTrackError
from numpy.typing import NDArray

from tools.bench.captions import Said, Utterance
from tools.bench.child import answer_lines
from tools.bench.speech import Speech, utterances

RATE_HZ = 16_000
TICK_S = 0.01
TICK_SAMPLES = RATE_HZ // 100
LATE_S = 0.2
"""Who is so late that it cannot be made up for counts anew, and says so."""
AHEAD_TICKS = 10
AHEAD_QUEUE_MS = 300
AHEAD_S = 0.2
"""A chunk is given this long before its last sample goes out, so at least one waits in the queue."""


class Person:
    """Silent until told to talk."""

    def __init__(self, identity: str, *, is_ahead: bool) -> None:
        self.identity = identity
        self._is_ahead = is_ahead
        self._samples = TICK_SAMPLES * (AHEAD_TICKS if is_ahead else 1)
        self.said: list[Said] = []
        self.utterances: list[Utterance] = []
        self.late = 0
        self._room = rtc.Room()
        self._script: Iterator[Speech] | None = None
        self._is_talking, self._turns = False, 0
        self._is_muted = False
        self._unmuted = asyncio.Event()
        self._unmuted.set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def join(self, url: str, token: str) -> None:
        await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=AHEAD_QUEUE_MS if self._is_ahead else 0)
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        await self._room.local_participant.publish_track(
            self._track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        self._playing = asyncio.create_task(self._play())

    async def leave(self) -> None:
        self._playing.cancel()
        await asyncio.wait({self._playing})
        await self._room.disconnect()
        await self._source.aclose()
        # Who has left may still be asked what they said. Their room, 2 MB and two threads, is a ring of references.
        del self._source, self._track, self._room
        gc.collect()

    def talk(self, *, turns: int, **script: Any) -> None:
        """`turns` utterances; 0: until hushed. Who talks again goes on where they ended."""
        self._script = self._script or utterances(**script)
        self._is_talking, self._turns = True, turns
        self._quiet.clear()

    def hush(self) -> None:
        """Ends the utterance under way."""
        self._turns = -1

    async def until_quiet(self) -> None:
        await self._quiet.wait()

    def mute(self) -> None:
        self._track.mute()
        self._unmuted.clear()

    def unmute(self) -> None:
        self._track.unmute()
        self._unmuted.set()

    async def _play(self) -> None:
        quiet = np.zeros(self._samples, np.int16)
        self._pace = self._new_pace()
        while True:
            if not self._unmuted.is_set():
                await self._unmuted.wait()
                self._pace = self._new_pace()
            speech = self._next()
            if speech is None:
                await self._capture(quiet)
            else:
                await self._say(speech)

    def _new_pace(self) -> "Pace":
        return Pace(self._samples / RATE_HZ, ahead_s=AHEAD_S if self._is_ahead else 0.0)

    def _next(self) -> Speech | None:
        if not self._is_talking or self._script is None:
            return None
        if self._turns < 0:
            self._is_talking = False
            self._quiet.set()
            return None
        return next(self._script)

    async def _say(self, speech: Speech) -> None:
        words, began_at, number = deque(speech.words), time.monotonic(), len(self.utterances)
        for start in range(0, len(speech.pcm) - self._samples + 1, self._samples):
            at = await self._capture(speech.pcm[start : start + self._samples])
            while words and words[0][1] <= start + self._samples:
                code, end = words.popleft()
                # Within a chunk that LiveKit paces, a word ends before the chunk does.
                early_s = (start + self._samples - end) / RATE_HZ if self._is_ahead else 0.0
                self.said.append(Said(by=self.identity, code=code, at=at - early_s, utterance=number))
        if speech.words:
            self.utterances.append(Utterance(by=self.identity, began_at=began_at, ended_at=time.monotonic()))
            if self._turns:
                self._turns = self._turns - 1 or -1

    async def _capture(self, pcm: NDArray[np.int16]) -> float:
        """When its last sample goes out (monotonic)."""
        goes_at = await self._pace.next()
        await self._source.capture_frame(rtc.AudioFrame(pcm.tobytes(), RATE_HZ, 1, self._samples))
        self.late = self._pace.late
        return goes_at


class Pace:
    """When each chunk is to be given to LiveKit, from the first one on."""

    def __init__(self, chunk_s: float, *, ahead_s: float) -> None:
        self._chunk_s, self._ahead_s = chunk_s, ahead_s
        self._at = time.monotonic()
        self.late = 0

    async def next(self) -> float:
        """Waits until it is time; when the chunk's last sample goes out, by a queue to within 5 ms."""
        self._at += self._chunk_s
        if (wait_s := self._at - self._ahead_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        now = time.monotonic()
        if not self._ahead_s:
            self._catch_up(now - self._at - LATE_S)
            return now
        # Given after its first sample was due, it finds the queue dry and goes out later by so much.
        self._catch_up(now - (self._at - self._chunk_s))
        return self._at - TICK_S / 2

    def _catch_up(self, late_s: float) -> None:
        if late_s > 0:
            self._at += late_s
            self.late += 1


class Crowd:
    """Everybody, by identity."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._gone: list[Person] = []

    async def join(self, url: str, identity: str, token: str, is_ahead: bool = False) -> None:
        person = Person(identity, is_ahead=is_ahead)
        await person.join(url, token)
        self._people[identity] = person

    async def leave(self, identities: list[str]) -> None:
        people = [self._people.pop(identity) for identity in identities]
        await asyncio.gather(*(person.leave() for person in people))

    async def talk(self, identity: str, **script: Any) -> None:
        self._people[identity].talk(turns=0, **script)

    async def hush(self, identities: list[str]) -> None:
        """All of them; answered when the last one's utterance has ended."""
        for identity in identities:
            self._people[identity].hush()
        await asyncio.gather(*(self._people[identity].until_quiet() for identity in identities))

    async def take_turns(self, identities: list[str], seconds: float, pause_s: float) -> None:
        """One after another, never two at once; answered when the last turn has ended."""
        until = time.monotonic() + seconds
        for number, identity in enumerate(itertools.cycle(identities)):
            person = self._people[identity]
            person.talk(turns=1, seed=number + 1, pause_s=pause_s)
            await person.until_quiet()
            if time.monotonic() > until:
                return
            await asyncio.sleep(pause_s)

    async def visit(self, url: str, identity: str, token: str, **script: Any) -> None:
        """Come, say one utterance, go; whom LiveKit leaves without an answer comes a second time."""
        try:
            await self.join(url, identity, token)
        except PublishTrackError:
            await self.join(url, identity, token)
        person = self._people[identity]
        person.talk(turns=1, **script)
        await person.until_quiet()
        self._gone.append(person)
        await self.leave([identity])

    async def mute(self, identities: list[str], is_muted: bool) -> None:
        for identity in identities:
            person = self._people[identity]
            person.mute() if is_muted else person.unmute()

    async def said(self) -> dict[str, Any]:
        """Everything since it was last asked."""
        people = [*self._people.values(), *self._gone]
        told = {
            "words": [asdict(word) for person in people for word in person.said],
            "utterances": [asdict(utterance) for person in people for utterance in person.utterances],
            "late": sum(person.late for person in people),
        }
        for person in people:
            person.said, person.utterances = [], []
        self._gone = []
        return told


async def main() -> None:
    gc.freeze()  # makes each collection a short one
    crowd = Crowd()
    names = ("join", "leave", "talk", "hush", "take_turns", "visit", "mute", "said")
    await answer_lines({name: getattr(crowd, name) for name in names})


if __name__ == "__main__":
    asyncio.run(main())
