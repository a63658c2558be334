"""What goes wrong in the speech server.

SpeechError
├── SettingsError       the environment says something we cannot use
├── NoFreeDecoder       every decoder is busy
├── DecoderLost         a decoder process died or fell silent
└── RequestRefused      a client's request or event, with its constant code
"""

from dataclasses import dataclass


class SpeechError(Exception):
    """Root of this package's errors."""


class SettingsError(SpeechError):
    """The message names the variable, never its value."""


class NoFreeDecoder(SpeechError):
    """As many utterances are being decoded as SPEECH_SESSIONS allows."""


class DecoderLost(SpeechError):
    """The utterance is lost; the pool has another process started."""


@dataclass(frozen=True)
class Refusal:
    """`code` is constant; `text` is a constant sentence, fit for a client."""

    code: str
    text: str


class RequestRefused(SpeechError):
    """The client asked for something it cannot have."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
