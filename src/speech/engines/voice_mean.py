"""The mean cepstrum of a voice through its microphone, which the decoder wants taken off every frame."""

import numpy as np

from speech.engines.cepstra import CEPSTRA, FRAMES_PER_SECOND, Floats

# Means over the speech frames of nine voices (docs/explanation/embedded-recogniser.md).
AVERAGE_VOICE = (61.78, 6.79, -2.58, 17.4, -7.8, -1.69, -3.41, -7.63, -3.13, -0.76, 2.2, 1.34, 0.63)
AVERAGE_COUNTS_AS_FRAMES = 30
KNOWN_COUNTS_AS_FRAMES = 100
SPEECH_RANGE = 25.0
"""A frame this far (in c0) below the utterance's loud frames is a pause, and says nothing of the voice."""
_REMEMBERED_FRAMES = 20 * FRAMES_PER_SECOND


class VoiceMean:
    """A mean over speech only, which starts from what is known and leans on the utterance as it grows."""

    def __init__(self, known: tuple[float, ...]) -> None:
        self.is_known = len(known) == CEPSTRA
        self._prior: Floats = np.array(known if self.is_known else AVERAGE_VOICE)
        self._frames: Floats = np.zeros((0, CEPSTRA))

    def hear(self, frames: Floats) -> None:
        self._frames = np.concatenate([self._frames, frames])[-_REMEMBERED_FRAMES:]

    def so_far(self) -> Floats:
        """To decode with, while little has been heard."""
        return self._mean(KNOWN_COUNTS_AS_FRAMES if self.is_known else AVERAGE_COUNTS_AS_FRAMES)

    def in_hindsight(self) -> Floats:
        """What the utterance itself says; what was known before may have been a cough."""
        return self._mean(AVERAGE_COUNTS_AS_FRAMES)

    def _mean(self, prior_frames: int) -> Floats:
        speech = self._speech()
        mean: Floats = (prior_frames * self._prior + speech.sum(axis=0)) / (prior_frames + len(speech))
        return mean

    def ends_in_pause(self, pause_s: float) -> bool:
        """Whether nothing was said in the last `pause_s`."""
        last = self._frames[-round(pause_s * FRAMES_PER_SECOND) :, 0]
        return bool(len(last) and last.max() <= self._quietest_speech())

    def _speech(self) -> Floats:
        speech: Floats = self._frames[self._frames[:, 0] > self._quietest_speech()]
        return speech

    def _quietest_speech(self) -> float:
        if not len(self._frames):
            return 0.0
        return float(np.percentile(self._frames[:, 0], 95)) - SPEECH_RANGE
