"""What every engine offers: a recogniser, used by one decoder process for one utterance at a time."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Word:
    """Seconds count from the start of the utterance's audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """An utterance's words, and what its recogniser learnt of the voice for the speaker's next utterance."""

    words: tuple[Word, ...]
    voice: tuple[float, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Recogniser(Protocol):
    """Blocking and single-threaded; each call may take a while."""

    def start(self, voice: tuple[float, ...]) -> None:
        """Begin an utterance, dropping an unfinished one. `voice` is the last Result's, or empty."""

    def feed(self, pcm: bytes) -> None:
        """Whole samples: PCM16, 16 kHz, mono."""

    def hypothesis(self) -> tuple[Word, ...]:
        """The whole utterance as understood so far; may change its mind at each call."""

    def finish(self) -> Result: ...
