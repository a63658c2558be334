"""Time belongs to the stream: where in a track's audio something was said, and when that was."""

import math
import time
from bisect import bisect_right

from agents.audio.pcm import FRAME_MS, FRAMES_PER_S

WINDOW_FRAMES = 5 * FRAMES_PER_S
TOLERANCE_MS = 50.0


class WallClock:
    """UTC as it was when this was made, then by the monotonic clock: steps of the machine's are not followed."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_ms(self) -> float:
        """UTC epoch."""
        return (time.monotonic() + self._offset_s) * 1000


class AudioClock:
    """Maps a frame's number in a track to UTC epoch ms, by when frames arrive.

    Frames come in bursts after any stall, so arrival alone jitters; the least lag over a few seconds tells
    whether frames were really lost (then the audio's time moves on with them) or merely late.
    """

    def __init__(self) -> None:
        self._epoch_ms: float | None = None
        self._least_lag_ms = float("inf")
        self._seen = 0

    def heard(self, *, frames: int, now_ms: float) -> None:
        """`frames` frames have arrived in all, the last of them now."""
        if self._epoch_ms is None:
            self._epoch_ms = now_ms - frames * FRAME_MS
        lag_ms = now_ms - (self._epoch_ms + frames * FRAME_MS)
        self._least_lag_ms = min(self._least_lag_ms, lag_ms)
        self._seen += 1
        if self._seen >= WINDOW_FRAMES or lag_ms < -TOLERANCE_MS:
            if abs(self._least_lag_ms) > TOLERANCE_MS:
                self._epoch_ms += self._least_lag_ms
            self._least_lag_ms, self._seen = float("inf"), 0

    def utc_ms(self, frame: float) -> int:
        """When frame number `frame` began; only after something was heard."""
        assert self._epoch_ms is not None
        return round(self._epoch_ms + frame * FRAME_MS)

    def frame_at(self, utc_ms: float) -> int:
        """The number of the frame that was heard then; below zero for a time before the first."""
        assert self._epoch_ms is not None
        return round((utc_ms - self._epoch_ms) / FRAME_MS)


class SentAudio:
    """Maps seconds of an engine's stream, which skips silence, back to frame numbers of the track."""

    def __init__(self) -> None:
        self._sent_at: list[int] = []
        self._frame_at: list[int] = []
        self._sent = 0

    def sent(self, frame: int) -> None:
        """Frame number `frame` was given to the engine next."""
        if not self._frame_at or frame - self._frame_at[-1] != self._sent - self._sent_at[-1]:
            self._sent_at.append(self._sent)
            self._frame_at.append(frame)
        self._sent += 1

    def frame_at(self, stream_s: float) -> float:
        """The frame number that was `stream_s` seconds into the stream; never beyond what was sent."""
        if not self._sent_at:
            return 0.0
        sent = self._within_what_was_sent(stream_s)
        piece = max(bisect_right(self._sent_at, sent) - 1, 0)
        return self._frame_at[piece] + (sent - self._sent_at[piece])

    def end_of(self, stream_s: float) -> float:
        """As `frame_at`, for the end of a stretch: at a seam, the end of the piece before it."""
        if not self._sent_at:
            return 0.0
        sent = self._within_what_was_sent(stream_s)
        piece = max(bisect_right(self._sent_at, sent - 1e-6) - 1, 0)
        return self._frame_at[piece] + (sent - self._sent_at[piece])

    def _within_what_was_sent(self, stream_s: float) -> float:
        """In frames; an engine may say anything."""
        if not math.isfinite(stream_s):
            return 0.0
        # 0.58 s are 28.999999999999996 frames: without rounding the 29th would be given again, or be another piece's.
        return min(max(round(stream_s * FRAMES_PER_S, 6), 0.0), float(self._sent))
