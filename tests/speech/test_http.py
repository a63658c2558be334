import io
import wave
from typing import Any

import httpx
import pytest

from speech.limits import MAX_UPLOAD_BYTES
from tests.speech.test_realtime import begin
from tests.support.speech import MODEL, SAMPLES, RunningSpeech, realtime
from tests.support.words import word_error_rate

URL = "/v1/audio/transcriptions"


def client(speech: RunningSpeech, **kwargs: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=speech.url, timeout=60, trust_env=False, **kwargs)


def wav(*, rate: int = 16_000, channels: int = 1, width: int = 2, seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setframerate(rate)
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.writeframes(bytes(int(rate * seconds) * channels * width))
    return file.getvalue()


async def test_health_says_what_is_loaded(speech: RunningSpeech) -> None:
    async with client(speech) as http:
        answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "model_loaded": True, "engine": "pocketsphinx"},
    )


async def test_the_models_are_listed(speech: RunningSpeech) -> None:
    async with client(speech) as http:
        models = (await http.get("/v1/models")).json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == [MODEL]


@pytest.mark.parametrize("voice", ["slt", "kal16"])
async def test_a_file_is_transcribed(speech: RunningSpeech, voice: str) -> None:
    text = (SAMPLES / f"{voice}.txt").read_text().strip()
    upload = {"file": (SAMPLES / f"{voice}.wav").read_bytes()}
    async with client(speech) as http:
        answer = await http.post(URL, data={"model": MODEL, "language": "en-GB"}, files=upload)
        plain = await http.post(URL, data={"model": MODEL, "response_format": "text"}, files=upload)
    assert word_error_rate(text, answer.json()["text"]) <= 0.1
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.text.strip() == answer.json()["text"]


@pytest.mark.parametrize(
    ("fields", "file", "status", "code"),
    [
        ({}, wav(), 404, "model_not_found"),
        ({"model": "whisper-1"}, wav(), 404, "model_not_found"),
        ({"model": MODEL, "response_format": "srt"}, wav(), 400, "invalid_request"),
        ({"model": MODEL, "language": "fr"}, wav(), 400, "invalid_request"),
        ({"model": MODEL}, b"", 400, "invalid_audio"),
        ({"model": MODEL}, b"RIFF", 400, "invalid_audio"),
        ({"model": MODEL}, wav()[:30], 400, "invalid_audio"),
        ({"model": MODEL}, b"OggS" + bytes(1000), 400, "invalid_audio"),
        ({"model": MODEL}, wav(rate=48_000), 400, "invalid_audio"),
        ({"model": MODEL}, wav(channels=2), 400, "invalid_audio"),
        ({"model": MODEL}, wav(width=1), 400, "invalid_audio"),
        ({"model": MODEL}, wav(seconds=901), 400, "invalid_audio"),
        ({"model": MODEL}, bytes(MAX_UPLOAD_BYTES), 413, "file_too_large"),
        ({"model": "x" * 2_000_000}, wav(), 400, "invalid_request"),
    ],
)
async def test_a_bad_upload_is_refused_with_its_code(
    speech: RunningSpeech, fields: dict[str, str], file: bytes, status: int, code: str
) -> None:
    async with client(speech) as http:
        answer = await http.post(URL, data=fields, files={"file": ("a.wav", file)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_body_of_unknown_length_is_bounded_too(speech: RunningSpeech) -> None:
    async def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(MAX_UPLOAD_BYTES // 1_000_000 + 2):
            yield bytes(1_000_000)

    async with client(speech) as http:
        answer = await http.post(
            URL, content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"junk", "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data"),
        (b"", ""),
    ],
)
async def test_what_is_no_form_is_refused(speech: RunningSpeech, content: bytes, content_type: str) -> None:
    async with client(speech) as http:
        answer = await http.post(URL, content=content, headers={"Content-Type": content_type})
    assert answer.status_code in (400, 404)
    assert "Traceback" not in answer.text


async def test_an_empty_recording_says_nothing(speech: RunningSpeech) -> None:
    async with client(speech) as http:
        for seconds in (0.0, 0.001, 2.0):
            answer = await http.post(URL, data={"model": MODEL}, files={"file": wav(seconds=seconds)})
            assert (answer.status_code, answer.json()) == (200, {"text": ""})


async def test_a_full_server_says_when_to_come_back(speech: RunningSpeech) -> None:
    async with realtime(speech) as one, realtime(speech) as two, client(speech) as http:
        await begin(one)
        await begin(two)
        answer = await http.post(URL, data={"model": MODEL}, files={"file": wav()})
        health = await http.get("/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "capacity")
    assert int(answer.headers["retry-after"]) >= 1
    assert health.status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("Bearer é", 401), ("Bearer key-of-the-test", 200)],
)
async def test_the_api_wants_its_key_and_health_does_not(
    locked_speech: RunningSpeech, header: str | None, status: int
) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    async with client(locked_speech) as http:
        assert (await http.get("/v1/models", headers=headers)).status_code == status
        assert (await http.post(URL, headers=headers)).status_code == (401 if status == 401 else 404)
        assert (await http.get("/health", headers=headers)).status_code == 200


async def test_an_unknown_address_is_not_found(speech: RunningSpeech) -> None:
    async with client(speech) as http:
        assert (await http.get("/v1/nothing")).status_code == 404
        assert (await http.get(URL)).status_code == 405
