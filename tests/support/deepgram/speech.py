"""Speech that holds words which an engine without a model hears."""

import numpy as np

from tests.support.clips import SAMPLE_RATE_HZ, clip, silence
from tests.support.deepgram.markers import Pcm, with_markers


def said(*codes: int) -> Pcm:
    """Two seconds of speech that hold these words, and a pause."""
    talk = clip("slt")[: 2 * SAMPLE_RATE_HZ]
    marked = with_markers(talk, [(0.5 + 1.2 * n / len(codes), code) for n, code in enumerate(codes)])
    return np.concatenate([marked, silence(1.0)])
