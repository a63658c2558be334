"""A WAV file to the samples the engines take."""

import wave
from typing import BinaryIO

from speech.errors import Refusal, RequestRefused
from speech.limits import SAMPLE_RATE_HZ

NOT_A_WAV = Refusal("invalid_audio", "The file is not a WAV file.")
WRONG_FORMAT = Refusal("invalid_audio", "The audio is not 16-bit PCM at 16 kHz, mono.")


def pcm_of(file: BinaryIO) -> bytes:
    """PCM16, 16 kHz, mono. Raises RequestRefused."""
    try:
        with wave.open(file, "rb") as reader:
            channels, width, rate = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            data: bytes = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError, ValueError):
        raise RequestRefused(NOT_A_WAV) from None
    if (channels, width, rate) != (1, 2, SAMPLE_RATE_HZ):
        raise RequestRefused(WRONG_FORMAT)
    return data[: len(data) - len(data) % 2]
