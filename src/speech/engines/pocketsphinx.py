"""The bundled engine: pocketsphinx with the English model inside its wheel."""

import numpy as np
from pocketsphinx import Decoder  # type: ignore[import-untyped]

from speech.engines.cepstra import FRAMES_PER_SECOND, Cepstra, Floats
from speech.engines.interface import Result, Word
from speech.engines.voice_mean import VoiceMean

# How each of these was found, and what it bought: docs/explanation/embedded-recogniser.md.
TUNED = {"fwdflat": False, "maxhmmpf": 6000, "maxwpf": 20}
LONGEST_PART_S = 30.0
PAUSE_S = 0.4
"""An utterance longer than SHORTEST_PART_S is cut at the next pause, and at LONGEST_PART_S come what may:
the decoder's memory and the cost of asking it for a hypothesis grow with what it holds."""
SHORTEST_PART_S = 10.0
MISJUDGED_IF_OFF_BY, KNOWN_MISJUDGED_IF_OFF_BY = 2.0, 3.0
READ_TWICE_IF_MISJUDGED_S = 1.0
"""A voice not met before is misjudged at first: what was heard with a mean that far (root mean square) from
what the voice turned out to be is read again at the end, once, if it was long enough to matter. A known voice's
mean moves with what is said, which is no reason to read again."""
READ_AT_ONCE_S = 0.1

# With its second pass off, pocketsphinx queues no more than a dozen frames and overruns that queue when it
# is given more at once (5.1.1).
_FRAMES_AT_ONCE = 4
_READ_AT_ONCE_BYTES = int(READ_AT_ONCE_S * 32_000)


class PocketsphinxRecogniser:
    """A Recogniser. Takes half a second to make; what it loads is shared by processes forked from it."""

    def __init__(self) -> None:
        self._decoder = Decoder(
            samprate=16_000,
            loglevel="FATAL",
            # The model's own file would switch pocketsphinx's normalisation on again.
            featparams="/dev/null",
            feat="1s_c_d_dd",
            svspec="0-12/13-25/26-38",
            agc="none",
            varnorm=False,
            cmn="none",
            **TUNED,
        )
        self._part_is_open = False

    def start(self, voice: tuple[float, ...]) -> None:
        self._abandon_part()
        self._unread = b""
        self._cepstra = Cepstra()
        self._voice = VoiceMean(voice)
        self._words: list[Word] = []
        self._finished_frames = 0
        self._start_part()

    def feed(self, pcm: bytes) -> None:
        # In steps of one size, so that the same audio makes the same words however it was cut.
        self._unread += pcm
        while len(self._unread) >= _READ_AT_ONCE_BYTES:
            self._read(self._unread[:_READ_AT_ONCE_BYTES])
            self._unread = self._unread[_READ_AT_ONCE_BYTES:]

    def hypothesis(self) -> tuple[Word, ...]:
        return (*self._words, *self._words_of_part())

    def finish(self) -> Result:
        self._read(self._unread)
        self._unread = b""
        self._finish_part()
        return Result(words=tuple(self._words), voice=tuple(self._voice.in_hindsight()))

    def _read(self, pcm: bytes) -> None:
        frames = self._cepstra.feed(np.frombuffer(pcm, dtype="<i2"))
        if not len(frames):
            return
        self._voice.hear(frames)
        self._search(frames, self._voice.so_far())
        if self._part_should_end():
            self._finish_part()
            self._start_part()

    def _start_part(self) -> None:
        self._frames: list[Floats] = []
        self._means: list[Floats] = []
        self._part_frames = 0

    def _search(self, frames: Floats, mean: Floats) -> None:
        self._frames.append(frames)
        self._means.append(mean)
        self._part_frames += len(frames)
        self._decode(frames - mean)

    def _decode(self, normalised: Floats) -> None:
        if not self._part_is_open:
            self._decoder.start_utt()
            self._part_is_open = True
        data = normalised.astype("<f4")
        for first in range(0, len(data), _FRAMES_AT_ONCE):
            self._decoder.process_cep(data[first : first + _FRAMES_AT_ONCE].tobytes())

    def _part_should_end(self) -> bool:
        part_s = self._part_frames / FRAMES_PER_SECOND
        return part_s >= LONGEST_PART_S or (part_s >= SHORTEST_PART_S and self._voice.ends_in_pause(PAUSE_S))

    def _finish_part(self) -> None:
        if self._part_is_open and self._was_misjudged():
            self._abandon_part()
            self._decode(np.concatenate(self._frames) - self._voice.in_hindsight())
        if self._part_is_open:
            heard = self._words_of_part()
            self._decoder.end_utt()
            self._part_is_open = False
            # The search over the lattice sometimes finds no way to the end of the sentence, and then no word.
            self._words.extend(self._words_of_part() or heard)
        self._finished_frames += self._part_frames
        self._part_frames = 0

    def _was_misjudged(self) -> bool:
        final = self._voice.in_hindsight()
        limit = KNOWN_MISJUDGED_IF_OFF_BY if self._voice.is_known else MISJUDGED_IF_OFF_BY
        misjudged_frames = sum(
            len(frames)
            for frames, mean in zip(self._frames, self._means, strict=True)
            if np.sqrt(((mean - final) ** 2).mean()) > limit
        )
        return misjudged_frames / FRAMES_PER_SECOND > READ_TWICE_IF_MISJUDGED_S

    def _abandon_part(self) -> None:
        if self._part_is_open:
            self._decoder.end_utt()
            self._part_is_open = False

    def _words_of_part(self) -> list[Word]:
        if not self._part_frames or self._decoder.hyp() is None:
            return []
        return [
            self._word(segment.word, segment.start_frame, segment.end_frame)
            for segment in self._decoder.seg()
            if not segment.word.startswith(("<", "["))
        ]

    def _word(self, name: str, first: int, last: int) -> Word:
        """`name` may say which of several pronunciations was heard: `the(2)`."""
        return Word(
            text=name.split("(")[0],
            start_s=(self._finished_frames + first) / FRAMES_PER_SECOND,
            end_s=(self._finished_frames + last + 1) / FRAMES_PER_SECOND,
        )
