"""What Riva is asked and what its answers mean; no network.

One call of `StreamingRecognize` is one utterance: the configuration, then audio until our side of the call is closed;
results come all along, and the call ends once everything has been said. Results that are not final are parts of one
interim. Riva may also make finals at pauses of its own; some hosted models make none before the call ends, or none at
all: then the last interim stands. Times are milliseconds within the call.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc
from riva.client.proto import riva_asr_pb2, riva_audio_pb2

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import EngineFault, EngineRefused, OptionsError
from agents.stt.faults import fault_of
from agents.stt.nvidia.models import (
    BOOST,
    DEFAULT_LANGUAGE,
    HOSTED,
    HOSTED_FUNCTION_ID,
    MULTI,
    TAG_OF_LANGUAGE,
)

LANGUAGE_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{2}))?([-_][A-Za-z0-9]{2,8})*")
HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
FUNCTION_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
TLS_OF_SCHEME = {"grpc": False, "grpcs": True}
TLS_OF_OPTION = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class NvidiaOptions:
    """Where the engine is and what it is asked for."""

    target: str = HOSTED
    """Host and port."""
    use_tls: bool = True
    function_id: str = HOSTED_FUNCTION_ID
    """Which of the hosted models; empty for one's own server."""
    model: str = ""
    """Empty: the server's own choice for the language."""
    api_key: str = field(default="", repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Of every call."""
        given = {
            "authorization": f"Bearer {self.api_key}" if self.api_key else "",
            "function-id": self.function_id,
        }
        return tuple((name, value) for name, value in given.items() if value)


def options_of(
    *, base_url: str, model: str, api_key: str, function_id: str = "", use_tls: str = ""
) -> NvidiaOptions:
    """Of a setup. Raises OptionsError.

    `base_url` is `host:port` or `grpc(s)://host:port`, empty for the hosted service; `use_tls` is `true`, `false`
    or empty.
    """
    if function_id and not FUNCTION_ID.fullmatch(function_id):
        raise OptionsError("function_id is no id of a function")
    if use_tls and use_tls not in TLS_OF_OPTION:
        raise OptionsError("use_tls is neither true nor false")
    if not api_key.isascii() or not api_key.isprintable():
        raise OptionsError("api_key is no key")
    if not base_url:
        if not api_key:
            raise OptionsError("api_key is missing")
        if use_tls == "false":
            raise OptionsError("use_tls is false, and NVIDIA's own service wants it")
        return NvidiaOptions(model=model, api_key=api_key, function_id=function_id or HOSTED_FUNCTION_ID)
    target, tls_of_scheme = _target(base_url)
    tls_of_option = TLS_OF_OPTION.get(use_tls)
    if None not in (tls_of_scheme, tls_of_option) and tls_of_scheme is not tls_of_option:
        raise OptionsError("use_tls and the address contradict each other")
    tls = tls_of_option if tls_of_scheme is None else tls_of_scheme
    return NvidiaOptions(
        target=target, use_tls=tls is not False, function_id=function_id, model=model, api_key=api_key
    )


def _target(base_url: str) -> tuple[str, bool | None]:
    """Host and port, and whether the address itself says TLS."""
    tls = None
    target = base_url
    if "://" in base_url:
        parts = urlsplit(base_url)
        if parts.scheme not in TLS_OF_SCHEME or parts.path.strip("/") or parts.query or parts.fragment:
            raise OptionsError("the engine's address is neither host:port nor grpc(s)://host:port")
        tls, target = TLS_OF_SCHEME[parts.scheme], parts.netloc
    match = HOST_AND_PORT.fullmatch(target)
    if match is None or not 0 < int(match[2]) <= 65_535:
        raise OptionsError("the engine's address is neither host:port nor grpc(s)://host:port")
    return target, tls


def language_of(tag: str) -> str:
    """A language as Riva writes it: `en` becomes `en-US`, `pt_br` `pt-BR`. What is no tag is English."""
    if tag.strip().lower() == MULTI:
        return MULTI
    match = LANGUAGE_TAG.fullmatch(tag.strip())
    if match is None:
        return DEFAULT_LANGUAGE
    language = match[1].lower()
    return f"{language}-{match[2].upper()}" if match[2] else TAG_OF_LANGUAGE.get(language, language)


def first_request(
    options: NvidiaOptions, *, language: str, vocabulary: Sequence[str]
) -> riva_asr_pb2.StreamingRecognizeRequest:
    """What opens a call; audio follows in `audio_request`."""
    config = riva_asr_pb2.RecognitionConfig(
        encoding=riva_audio_pb2.AudioEncoding.LINEAR_PCM,
        sample_rate_hertz=SAMPLE_RATE_HZ,
        audio_channel_count=1,
        language_code=language,
        model=options.model,
        max_alternatives=1,
        enable_automatic_punctuation=True,
        enable_word_time_offsets=True,
    )
    if vocabulary:
        config.speech_contexts.add(phrases=vocabulary, boost=BOOST)
    streaming = riva_asr_pb2.StreamingRecognitionConfig(config=config, interim_results=True)
    return riva_asr_pb2.StreamingRecognizeRequest(streaming_config=streaming)


def audio_request(pcm: bytes) -> riva_asr_pb2.StreamingRecognizeRequest:
    """PCM16, mono, 16 kHz."""
    return riva_asr_pb2.StreamingRecognizeRequest(audio_content=pcm)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What was said; seconds within the call, None where the engine does not say."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One response: the finals in it, and what is left open after them; None: it says nothing of that."""

    finals: tuple[Words, ...] = ()
    interim: Words | None = None


def heard(response: riva_asr_pb2.StreamingRecognizeResponse) -> Heard:
    """The parts of an interim are joined as they are: they bring their own spaces."""
    results = [result for result in response.results if result.alternatives]
    open_parts = [result for result in results if not result.is_final]
    return Heard(
        finals=tuple(_words([result]) for result in results if result.is_final),
        interim=_words(open_parts) if open_parts else None,
    )


def _words(results: Sequence[riva_asr_pb2.StreamingRecognitionResult]) -> Words:
    best = [result.alternatives[0] for result in results]
    timed = [word for alternative in best for word in alternative.words]
    return Words(
        text=" ".join("".join(alternative.transcript for alternative in best).split()),
        start_s=timed[0].start_time / 1000 if timed else None,
        end_s=timed[-1].end_time / 1000 if timed else None,
    )


STATUS_OF_CODE = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}
"""The HTTP status that says the same."""


def fault_of_code(code: grpc.StatusCode, *, trailers: Sequence[tuple[str, str | bytes]]) -> EngineFault:
    """Of a call that has failed; `trailers` as they came."""
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
        return EngineRefused("the engine does not know the model or the language", status=404)
    headers = {"Retry-After": str(dict(trailers)["retry-after"])} if "retry-after" in dict(trailers) else None
    return fault_of(status=STATUS_OF_CODE.get(code, 500), headers=headers)
