"""The HTTP API, in OpenAI's shapes."""

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message

from speech import models
from speech.engines.interface import Result
from speech.errors import DecoderLost, NoFreeDecoder, Refusal, RequestRefused
from speech.limits import BYTES_PER_SECOND, MAX_UPLOAD_BYTES, MAX_UTTERANCE_S, RESULT_TIMEOUT_S
from speech.pool import Pool, Utterance
from speech.wav import pcm_of

FULL = Refusal("capacity", "The server is full. Try again later.")
FAILED = Refusal("processing_error", "The audio could not be transcribed.")
TOO_LARGE = Refusal("file_too_large", "The upload is too large.")
TOO_LONG = Refusal("invalid_audio", "The audio is too long.")
NOT_A_FORM = Refusal("invalid_request", "The body is not a multipart form with a file.")
NO_SUCH_MODEL = Refusal("model_not_found", "No such model.")
NO_SUCH_FORMAT = Refusal("invalid_request", "response_format is json or text.")
NO_SUCH_LANGUAGE = Refusal("invalid_request", "The model does not know this language.")

STATUS = {"capacity": 503, "processing_error": 500, "file_too_large": 413, "model_not_found": 404}


async def health(request: Request) -> Response:
    is_ready = _pool(request).is_ready
    body = {"status": "ok" if is_ready else "unavailable", "model_loaded": is_ready, "engine": models.ENGINE}
    return JSONResponse(body, status_code=200 if is_ready else 503)


async def list_models(request: Request) -> Response:
    model = {"id": models.MODEL, "object": "model", "created": 0, "owned_by": models.ENGINE}
    return JSONResponse({"object": "list", "data": [model]})


async def transcribe_file(request: Request) -> Response:
    try:
        pcm, response_format = await _upload(request)
        result = await _transcribe(pool=_pool(request), pcm=pcm)
    except RequestRefused as refused:
        return _refused(refused.refusal)
    except NoFreeDecoder:
        return _refused(FULL)
    except (DecoderLost, TimeoutError):
        return _refused(FAILED)
    if response_format == "text":
        return PlainTextResponse(result.text + "\n")
    return JSONResponse({"text": result.text})


async def _upload(request: Request) -> tuple[bytes, str]:
    """The samples and the wanted format. Raises RequestRefused."""
    _bound_body(request)
    try:
        async with request.form(max_files=1, max_fields=16) as form:
            _check_fields({name: value for name, value in form.items() if isinstance(value, str)})
            if not isinstance(file := form.get("file"), UploadFile):
                raise RequestRefused(NOT_A_FORM)
            pcm = await asyncio.to_thread(pcm_of, file.file)
            response_format = str(form.get("response_format", "json"))
    except (HTTPException, ClientDisconnect):
        raise RequestRefused(NOT_A_FORM) from None
    if len(pcm) > MAX_UTTERANCE_S * BYTES_PER_SECOND:
        raise RequestRefused(TOO_LONG)
    return pcm, response_format


def _check_fields(fields: dict[str, str]) -> None:
    if fields.get("model") != models.MODEL:
        raise RequestRefused(NO_SUCH_MODEL)
    if fields.get("response_format", "json") not in ("json", "text"):
        raise RequestRefused(NO_SUCH_FORMAT)
    language = fields.get("language", "en").replace("_", "-").split("-")[0].lower()
    if language not in models.LANGUAGES:
        raise RequestRefused(NO_SUCH_LANGUAGE)


def _bound_body(request: Request) -> None:
    """Starlette bounds the fields of a form but not its files."""
    if int(request.headers.get("content-length", "0")) > MAX_UPLOAD_BYTES:
        raise RequestRefused(TOO_LARGE)
    receive, received_bytes = request._receive, 0

    async def counted() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > MAX_UPLOAD_BYTES:
            raise RequestRefused(TOO_LARGE)
        return message

    request._receive = counted


async def _transcribe(*, pool: Pool, pcm: bytes) -> Result:
    async with pool.utterance() as utterance:
        for first in range(0, len(pcm), BYTES_PER_SECOND):
            await utterance.feed(pcm[first : first + BYTES_PER_SECOND])
        await utterance.finish()
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            return await _result(utterance)


async def _result(utterance: Utterance) -> Result:
    while not isinstance(event := await utterance.next(), Result):
        pass
    return event


def _refused(refusal: Refusal) -> Response:
    status = STATUS.get(refusal.code, 400)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": refusal.text, "type": kind, "code": refusal.code}}
    return JSONResponse(body, status_code=status, headers={"Retry-After": "1"} if status == 503 else None)


def _pool(request: Request) -> Pool:
    pool: Pool = request.app.state.pool
    return pool
