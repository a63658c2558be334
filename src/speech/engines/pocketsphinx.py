"""The bundled engine: pocketsphinx with the English model inside its wheel."""

import numpy as np
from pocketsphinx import Decoder  # type: ignore[import-untyped]

from speech.engines.cepstra import FRAMES_PER_SECOND, Cepstra, Floats
from speech.engines.interface import Result, Word
from speech.engines.voice_mean import VoiceMean

# How each of these was found, and what it bought: docs/explanation/embedded-recogniser.md.
TUNED = {"fwdflat": False, "maxhmmpf": 3000, "maxwpf": 10}
LONGEST_PART_S = 30.0
PAUSE_S = 0.4
"""An utterance longer than SHORTEST_PART_S is cut at the next pause, and at LONGEST_PART_S come what may:
the decoder's memory and the cost of asking it for a hypothesis grow with what it holds."""
SHORTEST_PART_S = 10.0
READ_TWICE_IF_OFF_BY = 3.0
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
        self._unread += pcm
        if len(self._unread) >= _READ_AT_ONCE_BYTES:
            self._read()

    def hypothesis(self) -> tuple[Word, ...]:
        return (*self._words, *self._words_of_part())

    def finish(self) -> Result:
        self._read()
        self._finish_part()
        return Result(words=tuple(self._words), voice=tuple(self._voice.mean()))

    def _read(self) -> None:
        frames = self._cepstra.feed(np.frombuffer(self._unread, dtype="<i2"))
        self._unread = b""
        if not len(frames):
            return
        self._voice.hear(frames)
        self._search(frames, self._voice.mean())
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
            self._decode(np.concatenate(self._frames) - self._voice.mean())
        if self._part_is_open:
            self._decoder.end_utt()
            self._part_is_open = False
            self._words.extend(self._words_of_part())
        self._finished_frames += self._part_frames
        self._part_frames = 0

    def _was_misjudged(self) -> bool:
        """Whether most was heard with a mean far from what the voice turned out to be."""
        final = self._voice.mean()
        off = [np.sqrt(((mean - final) ** 2).mean()) for mean in self._means]
        return bool(np.average(off, weights=[len(f) for f in self._frames]) > READ_TWICE_IF_OFF_BY)

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
