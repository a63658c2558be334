"""The gate: which frames an engine hears, and where one utterance ends. Pure: decisions in, passages out.

Nothing is sent in silence. Speech opens the gate once enough of it is voiced, and what came just before goes
with it (pre-roll), so the first syllable is not lost. Silence closes the gate after a hangover. A long
monologue is cut at a short pause, or hard where there is none; no frame is lost or sent twice.
"""

from collections import deque
from dataclasses import dataclass, replace

from agents.audio.pcm import FRAMES_PER_S, Frame

BETWEEN_WORDS_S = 0.12


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """All in seconds of audio."""

    pre_roll_s: float = 0.5
    voiced_s: float = 0.1
    """Less than this is a click, a cough or the microphone being switched on."""
    hangover_s: float = 0.55
    soft_cut_after_s: float = 8.0
    soft_cut_pause_s: float = 0.2
    hard_cut_after_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Frames that pass; `first` is the number of the first one within the track."""

    first: int
    frames: tuple[Frame, ...]
    begins: bool
    ends: bool


class Gate:
    """One track's gate."""

    def __init__(self, options: GateOptions | None = None) -> None:
        self._options = options or GateOptions()
        self._pre_roll: deque[Frame] = deque(maxlen=_frames(self._options.pre_roll_s))
        self._fed = 0
        self._is_open = False
        self._passed = 0
        self._voiced = 0
        self._silent = 0

    @property
    def is_open(self) -> bool:
        """Whether somebody is taken to be speaking."""
        return self._is_open

    def feed(self, frame: Frame, *, is_voice: bool) -> Passage | None:
        """What passes because of this frame; None in silence."""
        self._fed += 1
        return (
            self._carry_on(frame, is_voice=is_voice)
            if self._is_open
            else self._listen(frame, is_voice=is_voice)
        )

    def hurry(self) -> None:
        """Shut at the next pause between words, however short the utterance."""
        self._options = replace(self._options, soft_cut_after_s=0.0, soft_cut_pause_s=BETWEEN_WORDS_S)

    def close(self) -> bool:
        """No more audio: whether an utterance was under way, and so has ended."""
        was_speaking = self._is_open and self._passed > 0
        self._shut()
        return was_speaking

    def _listen(self, frame: Frame, *, is_voice: bool) -> Passage | None:
        self._pre_roll.append(frame)
        self._voiced = self._voiced + 1 if is_voice else max(0, self._voiced - 1)
        if self._voiced < _frames(self._options.voiced_s):
            return None
        frames = tuple(self._pre_roll)
        self._pre_roll.clear()
        self._is_open, self._silent, self._passed = True, 0, len(frames)
        return Passage(first=self._fed - len(frames), frames=frames, begins=True, ends=False)

    def _carry_on(self, frame: Frame, *, is_voice: bool) -> Passage:
        begins = self._passed == 0
        self._passed += 1
        self._silent = 0 if is_voice else self._silent + 1
        pauses = self._silent >= _frames(self._options.soft_cut_pause_s)
        is_long = self._passed >= _frames(self._options.soft_cut_after_s)
        if self._silent >= _frames(self._options.hangover_s) or (pauses and is_long):
            self._shut()
            return Passage(first=self._fed - 1, frames=(frame,), begins=begins, ends=True)
        if self._passed >= _frames(self._options.hard_cut_after_s):
            self._passed = 0  # and stays open: the next frame begins the next utterance
            return Passage(first=self._fed - 1, frames=(frame,), begins=begins, ends=True)
        return Passage(first=self._fed - 1, frames=(frame,), begins=begins, ends=False)

    def _shut(self) -> None:
        self._is_open, self._passed, self._voiced, self._silent = False, 0, 0, 0


def _frames(seconds: float) -> int:
    return max(1, round(seconds * FRAMES_PER_S))
