"""Audio that no final has confirmed yet: bounded, and played again to the next engine stream. No I/O."""

from collections import deque
from dataclasses import dataclass, replace

from agents.audio.gate import Passage
from agents.audio.pcm import FRAMES_PER_S, Frame

LIMIT_FRAMES = 30 * FRAMES_PER_S
"""960 kB a speaker: an engine may be away for as long as somebody speaks that much."""

REMNANT_FRAMES = 3 * FRAMES_PER_S // 10
"""Less than this at the end of an utterance holds no word of its own."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One frame of an utterance; `number` is the frame's within the track."""

    utterance: int
    number: int
    frame: Frame
    ends: bool


class Unconfirmed:
    """Filled by the gate, read by the engine's stream, emptied by finals."""

    def __init__(self, limit_frames: int = LIMIT_FRAMES) -> None:
        self._pieces: deque[Piece] = deque()
        self._taken = 0
        self._limit_frames = limit_frames
        self._utterance = 0
        self._confirmed = 0
        self._torn = 0  # the newest utterance that has lost frames
        self.dropped_frames = 0

    @property
    def waits(self) -> bool:
        """Whether there is audio that the current stream has not been given."""
        return self._taken < len(self._pieces)

    @property
    def is_owed(self) -> bool:
        """Whether the current stream was given audio that it has not confirmed."""
        return self._taken > 0

    @property
    def is_empty(self) -> bool:
        """Whether everything said is confirmed."""
        return not self._pieces

    def add(self, passage: Passage) -> None:
        """Over the limit the oldest frames go, and are counted."""
        if passage.begins:
            self._utterance += 1
        last = len(passage.frames) - 1
        for index, frame in enumerate(passage.frames):
            self._pieces.append(
                Piece(
                    utterance=self._utterance,
                    number=passage.first + index,
                    frame=frame,
                    ends=passage.ends and index == last,
                )
            )
        while len(self._pieces) > self._limit_frames:
            self._lose_oldest()

    def end(self) -> None:
        """The utterance under way has ended without another frame."""
        if self.waits:
            self._pieces[-1] = replace(self._pieces[-1], ends=True)
        elif self._pieces and not self._pieces[-1].ends:
            # All of it was given already: give the last frame's end once more, as an end without audio.
            last = self._pieces[-1]
            self._pieces.append(replace(last, frame=last.frame[:0], ends=True))

    def take(self) -> Piece | None:
        """The next piece for the current stream."""
        if not self.waits:
            return None
        piece = self._pieces[self._taken]
        self._taken += 1
        return piece

    def confirm(self, utterance: int) -> None:
        """The engine has said all it will of this utterance and those before it."""
        self._confirmed = max(self._confirmed, utterance)
        while self._pieces and self._pieces[0].utterance <= utterance:
            self._drop_oldest()

    def skip_before(self, number: int) -> None:
        """Drop audio before frame `number`, which has been transcribed, and the silence it ended in with it."""
        is_cut = False
        while self._pieces and self._pieces[0].number < number:
            is_cut = not self._pieces[0].ends
            self._drop_oldest()
        rest = [piece for piece in self._pieces if is_cut and piece.utterance == self._pieces[0].utterance]
        if rest and rest[-1].ends and len(rest) < REMNANT_FRAMES:
            for _ in rest:
                self._drop_oldest()

    def confirm_before(self, number: int) -> None:
        """A final covers the audio before frame `number`, as far as the current stream was given it."""
        while self._taken and self._pieces[0].number < number:
            self._drop_oldest()

    def rewind(self) -> bool:
        """A new stream begins: everything unconfirmed is to be given again.

        True when since the last time frames of an unconfirmed utterance went: the engine will not hear again
        all that the open segment was made of.
        """
        self._taken = 0
        is_torn, self._torn = self._torn > self._confirmed, 0
        return is_torn

    def _lose_oldest(self) -> None:
        self._torn = self._pieces[0].utterance
        self.dropped_frames += 1
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._pieces.popleft()
        self._taken = max(0, self._taken - 1)
