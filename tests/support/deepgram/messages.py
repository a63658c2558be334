"""Deepgram's live messages as JSON, good ones and bad."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.deepgram.recogniser import Result, Word

HUGE_BYTES = 10 * 1024 * 1024
MODEL_ID = "00000000-0000-4000-8000-000000000001"


def results(result: Result, *, request_id: str, language: str | None = None) -> str:
    """Times to the microsecond, so that they are those of the audio."""
    return json.dumps(_results(result, request_id=request_id, language=language), separators=(",", ":"))


def metadata(*, request_id: str, created: str, duration_s: float, channels: int) -> str:
    """The last message of a stream that was closed in order."""
    return json.dumps(
        {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": request_id,
            "sha256": "0" * 64,
            "created": created,
            "duration": round(duration_s, 6),
            "channels": channels,
            "models": [MODEL_ID],
            "model_info": {MODEL_ID: {"name": "scripted", "version": "1", "arch": "none"}},
        }
    )


def speech_started(at_s: float) -> str:
    return json.dumps({"type": "SpeechStarted", "channel": [0], "timestamp": round(at_s, 6)})


def utterance_end(last_word_end_s: float) -> str:
    return json.dumps({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(last_word_end_s, 6)})


def garbage(name: str, *, result: Result, request_id: str, flood: int) -> Iterator[str | bytes]:
    """What an engine must not be trusted not to send, around a result as it would have been."""
    good = _results(result, request_id=request_id, language=None)
    match name:
        case "non_json":
            yield from ("no json at all", "", "{", "\ufeff{}")
        case "binary":
            yield b"\x00\xff" * 512
        case "huge":
            yield _with_text(good, "garbage " * (HUGE_BYTES // 8))
        case "negative_times":
            word = {"word": "garbage", "start": -5.0, "end": -4.0, "confidence": 1.0}
            yield _with_text(good | {"start": -5.0, "is_final": True}, "garbage", words=[word])
            yield _with_text(good | {"duration": -1.0, "is_final": True}, "garbage", words=[word])
        case "nul":
            yield _with_text(good, f"{result.text} \x00\x00")
        case "script":
            yield _with_text(good, f"{result.text} <script>alert(1)</script><img src=x onerror=alert(1)>")
        case "bidi":
            yield _with_text(good, f"{result.text} \u202egnp.\u2066\u2069\u200f")
        case "deep_json":
            yield "[" * 100_000
            yield '{"type":"Results","channel":' + '{"a":' * 50_000 + "1" + "}" * 50_001
        case "wrong_types":
            yield from _wrong_types(good)
        case "flood":
            for number in range(flood):
                yield _with_text(good, f"{result.text} flood {number}")
        case _:
            raise ValueError("no such garbage")


def _wrong_types(good: dict[str, Any]) -> Iterator[str]:
    final = good | {"is_final": True}
    for wrong in (
        None,
        5,
        [],
        ["Results"],
        {},
        {"type": None},
        {"type": ["Results"]},
        {"type": "Results"},
        final | {"channel": None},
        final | {"channel": []},
        final | {"channel": {"alternatives": {}}},
        final | {"channel": {"alternatives": []}},
        final | {"channel": {"alternatives": [None]}},
        final | {"channel": {"alternatives": [{"transcript": 5, "confidence": 1, "words": []}]}},
        final | {"is_final": "yes"},
        final | {"start": "0"},
        final | {"start": True},
        final | {"duration": [1]},
    ):
        yield json.dumps(wrong)
    for number in ("1e400", "NaN", "-Infinity"):
        yield json.dumps(final | {"start": "?"}).replace('"?"', number)
    yield '{"type":"Results","type":"Results","start":' + "9" * 5_000 + "}"


def _with_text(message: dict[str, Any], text: str, *, words: list[Any] | None = None) -> str:
    alternative = {"transcript": text, "confidence": 1.0, "words": words or []}
    return json.dumps(message | {"channel": {"alternatives": [alternative]}})


def _results(result: Result, *, request_id: str, language: str | None) -> dict[str, Any]:
    alternative: dict[str, Any] = {
        "transcript": result.text,
        "confidence": 0.99 if result.words else 0.0,
        "words": [_word(word, language=language) for word in result.words],
    }
    channel: dict[str, Any] = {"alternatives": [alternative]}
    if language:
        alternative["languages"] = [language] if result.words else []
        channel["detected_language"] = language
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": round(result.duration_s, 6),
        "start": round(result.start_s, 6),
        "is_final": result.is_final,
        "speech_final": result.speech_final,
        "from_finalize": result.from_finalize,
        "channel": channel,
        "metadata": {
            "request_id": request_id,
            "model_info": {"name": "scripted", "version": "1", "arch": "none"},
            "model_uuid": MODEL_ID,
        },
    }


def _word(word: Word, *, language: str | None) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(word.start_s, 6),
        "end": round(word.end_s, 6),
        "confidence": 0.99,
        "punctuated_word": word.text,
    } | ({"language": language} if language else {})
