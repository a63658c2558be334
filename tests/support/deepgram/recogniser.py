"""What is heard in one stream's audio, and when an engine would say so; no clock and no network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.support.deepgram.markers import MARKER_S, Marker, MarkerEar, Pcm
from tests.support.deepgram.script import Script

SAMPLE_BYTES = 2
UNSURE_S = 0.05
"""A word that began so lately has not been noticed yet: a final amid speech leaves it to the next."""
REST_S = 0.1
"""How long silence lasts before sound is a new word, by energy."""
FRAGMENT_S = 0.01
"""A burst that sounds when a stream begins is the end of a word that the stream before it has heard; its last
hundredths are no word to anybody, only to an ear for tones."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """`w007`, in seconds of the stream's audio."""

    code: int
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What there is to say of the audio from `start_s` on."""

    words: tuple[Word, ...]
    start_s: float
    duration_s: float
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A word has begun; how many there were before it."""

    words_before: int


Event = Begun | Word | Result


class Recogniser:
    """PCM in, events out, in the order of the audio."""

    def __init__(self, *, sample_rate_hz: int, channels: int, endpointing_ms: float | None) -> None:
        self._ear = MarkerEar(sample_rate_hz=sample_rate_hz)
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._asked_endpointing_ms = endpointing_ms
        self._rest = b""
        self._hops = 0
        self._begun: list[Word] = []  # their ends have not been heard yet
        self._words: list[Word] = []  # since the last final
        self._said_words = self._all_words = 0
        self._final_until_s = 0.0
        self._said_at_s = 0.0
        self._quiet_s = REST_S
        self.silent_s = 0.0

    @property
    def heard_s(self) -> float:
        """Of audio."""
        return (
            self._hops * self._ear.hop + len(self._rest) // SAMPLE_BYTES // self._channels
        ) / self._rate_hz

    def feed(self, pcm: bytes, script: Script) -> Iterator[Event]:
        """linear16, of the stream's rate and channels."""
        self._rest += pcm
        size = self._ear.hop * SAMPLE_BYTES * self._channels
        while len(self._rest) >= size:
            hop, self._rest = self._rest[:size], self._rest[size:]
            self._hops += 1
            yield from self._hear(np.frombuffer(hop, np.int16)[:: self._channels], script)

    def finalize(self) -> Result:
        """Whatever is held, now; empty when nothing is."""
        return self._final(from_finalize=True)

    def close(self) -> Result:
        """The same at the end of the stream."""
        return self._final()

    @property
    def holds_words(self) -> bool:
        """Heard and not yet in a final."""
        return bool(self._words)

    def _hear(self, hop: Pcm, script: Script) -> Iterator[Event]:
        now_s = self._hops * self._ear.hop / self._rate_hz
        hop_s = self._ear.hop / self._rate_hz
        is_quiet = float(np.sqrt(np.mean(np.square(hop, dtype=np.float32)))) < script.silence_rms
        if begun := self._onset(hop, script, now_s=now_s, is_quiet=is_quiet):
            yield Begun(words_before=self._all_words)
            self._begun.append(begun)
        self._quiet_s = self._quiet_s + hop_s if is_quiet else 0.0
        self.silent_s += hop_s if is_quiet else 0.0
        while self._begun and self._begun[0].end_s <= now_s + 1e-6:
            word = self._begun.pop(0)
            self._words.append(word)
            self._all_words += 1
            yield word
        yield from self._results(script, now_s=now_s)

    def _onset(self, hop: Pcm, script: Script, *, now_s: float, is_quiet: bool) -> Word | None:
        if script.hears == "energy":
            if is_quiet or self._quiet_s < REST_S - 1e-6:
                return None
            start_s = now_s - self._ear.hop / self._rate_hz
            number = self._all_words % 1000
            if script.says is not None and (self._all_words or self._begun):
                return None
            text = f"e{number:03}" if script.says is None else script.says
            return Word(code=number, text=text, start_s=start_s, end_s=start_s + MARKER_S)
        heard: Marker | None = self._ear.feed(hop)
        if heard is None or heard.start_s < FRAGMENT_S:
            return None
        return Word(code=heard.code, text=f"w{heard.code:03}", start_s=heard.start_s, end_s=heard.end_s)

    def _results(self, script: Script, *, now_s: float) -> Iterator[Result]:
        endpointing_ms = (
            self._asked_endpointing_ms if script.endpointing_ms is None else script.endpointing_ms
        )
        is_pause = endpointing_ms is not None and self._quiet_s * 1000 >= endpointing_ms - 1e-3
        is_time = now_s - self._said_at_s >= script.interim_interval_ms / 1000 - 1e-6
        if len(self._words) > self._said_words and is_time:
            yield self._interim(now_s)
        if self._begun:
            return  # no final cuts a word in two
        if self._words and is_pause:
            yield self._final(speech_final=True)
        elif now_s - self._final_until_s >= script.max_final_s - 1e-6:
            last_s = self._words[-1].end_s if self._words else 0.0
            yield self._final(until_s=max(last_s, now_s - UNSURE_S))

    def _interim(self, now_s: float) -> Result:
        self._said_words, self._said_at_s = len(self._words), now_s
        return Result(
            words=tuple(self._words), start_s=self._final_until_s, duration_s=now_s - self._final_until_s
        )

    def _final(
        self, *, until_s: float | None = None, speech_final: bool = False, from_finalize: bool = False
    ) -> Result:
        start_s, self._final_until_s = self._final_until_s, self.heard_s if until_s is None else until_s
        words, self._words, self._said_words = tuple(self._words), [], 0
        return Result(
            words=words,
            start_s=start_s,
            duration_s=self._final_until_s - start_s,
            is_final=True,
            speech_final=speech_final or from_finalize,
            from_finalize=from_finalize,
        )
