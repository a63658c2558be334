"""`POST /v1/audio/transcriptions` without a socket: what a request holds, and what an answer means.

Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import io
import json
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import EngineFault, EngineLost
from agents.stt.faults import fault_of
from agents.stt.openai import models
from agents.stt.openai.doubts import Segment, believed
from agents.stt.openai.languages import language_named, language_of
from agents.stt.openai.options import OpenAIOptions
from agents.stt.openai.pieces import SAMPLE_BYTES
from agents.stt.openai.prompts import prompt_of
from agents.stt.wire import plain

LEAST_S = 0.2
"""Less is refused as too short; silence makes it up."""
MAX_SEGMENTS = 1_000
JITTER = 0.25
"""Of a wait: so that not everybody asks again at once."""
STATUS_OF_CODE = {
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "invalid_model": 404,
    "rate_limit_exceeded": 429,
}
"""An error's code tells more than its status: a spent account is answered 429."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request's audio, and what helps to understand it."""

    pcm: bytes
    """PCM16, mono, 16 kHz."""
    language: str
    """As the session names it; empty: it is detected."""
    vocabulary: Sequence[str] = ()
    context: str = ""
    """What was said just before."""

    @property
    def audio_s(self) -> float:
        """Its length."""
        return len(self.pcm) / SAMPLE_BYTES / SAMPLE_RATE_HZ


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said; `language` as detected, empty when the server does not say."""

    text: str
    language: str = ""


def fields_of(question: Question, options: OpenAIOptions) -> list[tuple[str, str]]:
    """The form beside the file."""
    fields = [("model", options.model), ("response_format", options.format)]
    language = language_of(question.language or options.language)
    if models.takes_keywords(options.model):
        fields += [("languages[]", language)] if language else []
        fields += [("keywords[]", word) for word in question.vocabulary]
        prompt = question.context
    else:
        fields += [("language", language)] if language else []
        prompt = prompt_of(question.vocabulary, context=question.context)
    if prompt and models.takes_prompt(options.model):
        fields.append(("prompt", prompt))
    return fields


def wav_of(pcm: bytes) -> bytes:
    """With a header that tells the length."""
    missing = round(LEAST_S * SAMPLE_RATE_HZ) * SAMPLE_BYTES - len(pcm)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(SAMPLE_BYTES)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(pcm + bytes(max(0, missing)))
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back; `headers` look names up without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def fault(self) -> EngineFault | None:
        """None for an answer."""
        if self.status == 200:
            return None
        return fault_of(status=STATUS_OF_CODE.get(_code(self.body), self.status), headers=self.headers)

    @property
    def is_worth_another_try(self) -> bool:
        """Busy or broken, which passes; a spent account does not."""
        return (self.status == 429 or self.status >= 500) and STATUS_OF_CODE.get(_code(self.body), 429) == 429

    def answer(self, question: Question) -> Answer:
        """Raises EngineLost for what is none."""
        body = _object(self.body)
        if body is None or not isinstance(text := body.get("text"), str):
            raise EngineLost("the engine does not answer as agreed")
        said = believed(
            plain(text),
            segments=_segments(body.get("segments")),
            audio_s=question.audio_s,
            vocabulary=prompt_of(question.vocabulary),
        )
        return Answer(text=said, language=_detected(body))


def wait_before_s(
    *, tries: int, asked_s: float | None, options: OpenAIOptions, jitter: float
) -> float | None:
    """After so many tries; `asked_s` is the server's Retry-After, `jitter` 0 to 1. None: not again."""
    if tries >= options.tries or (asked_s or 0.0) > options.longest_wait_s:
        return None
    ours_s = options.first_wait_s * 2.0 ** (tries - 1) * (1 + JITTER * jitter)
    return min(options.longest_wait_s, max(ours_s, asked_s or 0.0))


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _code(body: bytes) -> str:
    error = (_object(body) or {}).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _segments(segments: object) -> list[Segment]:
    """Empty, so that the text counts as it stands, when one of them is not what was agreed."""
    if not isinstance(segments, list) or len(segments) > MAX_SEGMENTS:
        return []
    read = []
    for segment in segments:
        if not isinstance(segment, dict) or not isinstance(text := segment.get("text"), str):
            return []
        silence, logprob = segment.get("no_speech_prob"), segment.get("avg_logprob")
        read.append(
            Segment(
                text=plain(text),
                no_speech_prob=float(silence) if isinstance(silence, float) else 0.0,
                avg_logprob=float(logprob) if isinstance(logprob, float) else 0.0,
            )
        )
    return read


def _detected(body: dict[str, Any]) -> str:
    """Of `verbose_json`, a name; of gpt-transcribe, a list of codes with the most likely first."""
    language, languages = body.get("language"), body.get("languages")
    if isinstance(languages, list) and languages and isinstance(languages[0], dict):
        language = languages[0].get("code")
    return language_named(language) if isinstance(language, str) else ""
