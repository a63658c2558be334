"""Voice activity: Silero's network, as bundled with livekit-agents (docs/adr/0002).

One inference takes about 25 µs and the model is shared by the process, so it runs on the event loop.
"""

from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES, init_vad

from agents.audio.pcm import Chunker, Frame

ACTIVATION = 0.5
DEACTIVATION = 0.35


def load_detector() -> None:
    """Load the shared model now rather than at the first participant."""
    init_vad()


class VoiceDetector:
    """One track's detector; the network remembers, so each track needs its own."""

    def __init__(self) -> None:
        self._network = VAD()
        self._windows = Chunker(VAD_WINDOW_SAMPLES)
        self._is_voice = False

    def is_voice(self, frame: Frame) -> bool:
        """Whether there is speech at the end of this frame, with hysteresis."""
        for window in self._windows.feed(frame):
            threshold = DEACTIVATION if self._is_voice else ACTIVATION
            self._is_voice = self._network.predict(window) >= threshold
        return self._is_voice
