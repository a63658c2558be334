"""A server of OpenAI's transcription, by request and by stream, that hears marked words.

`POST /v1/audio/transcriptions` takes the multipart form of OpenAI's reference; `/v1/realtime` takes the events of its
realtime transcription. What no client should do is answered as OpenAI does where that is known, and noted.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import re
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMsgType, web

from tests.support.engines.contract import RUBBISH
from tests.support.engines.ear import Ear, Word, words_in
from tests.support.engines.scripted import ScriptedServer

REQUEST_RATE_HZ, STREAM_RATE_HZ = 16_000, 24_000
LEAST_COMMIT_BYTES = STREAM_RATE_HZ * 2 // 10
MOST_PROMPT_BYTES = 620
"""224 tokens, at less than three bytes each."""
HINTED = ("gpt-transcribe", "gpt-live-transcribe")
LIVE = ("gpt-live-transcribe", "gpt-realtime-whisper")
STREAM_MODELS = (*LIVE, "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1")
NORMAL = 1000
TRANSCRIPTION = "conversation.item.input_audio_transcription."
RUBBISH_LINES = (
    f"{RUBBISH}, no json at all",
    "",
    "[" * 5_000,
    json.dumps([RUBBISH]),
    json.dumps({"type": ["error"], "error": {"code": RUBBISH}}),
    json.dumps({"type": TRANSCRIPTION + "delta", "delta": RUBBISH}),
    json.dumps({"type": TRANSCRIPTION + "delta", "item_id": 5, "delta": RUBBISH}),
    json.dumps({"type": TRANSCRIPTION + "delta", "item_id": "item_of_nobody", "delta": [RUBBISH]}),
    json.dumps({"type": TRANSCRIPTION + "completed", "item_id": "item_of_nobody", "transcript": None}),
    json.dumps({"type": "response.output_text.delta", "delta": RUBBISH}),
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """How a request or a session goes; one that has begun keeps to its own."""

    accepts: int | None = None
    """The HTTP status it is refused with."""
    retry_after_s: float | None = None
    code: str = "scripted"
    """Of the error that a refusal or a failure holds."""
    hangs: Literal["silent", "unread"] | None = None
    """`silent`: takes everything, says nothing. `unread`: stops reading (of a stream)."""
    aborts_after_words: int | None = None
    """The connection is gone in the middle of the next word, or of the answer to a request."""
    expires_after_words: int | None = None
    """A stream is ended there, as one that has lasted too long."""
    fails_after_words: int | None = None
    """There an item of a stream comes to nothing."""
    says_rubbish: bool = False
    """Between the events of a stream, or instead of the answer to a request."""
    body: bytes | None = None
    """Instead of the answer to a request."""
    handshake_s: float = 0.0
    """Before a stream is accepted."""
    answer_s: float = 0.0
    """Before the answer to a request or a commit."""
    language: str = ""
    """As detected."""
    says: str | None = None
    """Instead of the words."""
    no_speech_prob: float = 0.01
    avg_logprob: float = -0.2
    completes_backwards: bool = False
    """The next two items of a stream, the second one first."""


@dataclass(kw_only=True)
class SeenRequest:
    """One upload."""

    at: float
    key: str
    status: int
    fields: list[tuple[str, str]]
    audio_s: float
    words: list[str]

    def all_of(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str:
        """Empty when there is none."""
        return next(iter(self.all_of(name)), "")


@dataclass(kw_only=True)
class SeenSession:
    """One socket's life."""

    key: str
    query: dict[str, str]
    update: dict[str, Any] = field(default_factory=dict)
    """Of the last `session.update`."""
    audio_bytes: int = 0
    appends: int = 0
    items_s: list[float] = field(default_factory=list)
    """How long each committed stretch is."""
    is_open: bool = True
    close_code: int | None = None
    """What the client closed it with; ABNORMAL: it was just gone. None while open, and when the server ended it."""


class ScriptedOpenAI(ScriptedServer):
    """By request and by stream."""

    SCRIPT = Script

    def behave(self) -> None:
        super().behave()
        self.asking: set[int] = set()
        """Requests that wait for their answer."""
        self.requests: list[SeenRequest] = []

    @property
    def answered(self) -> list[SeenRequest]:
        """The requests that were let in."""
        return [request for request in self.requests if request.status == 200]

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=4 * 1024 * 1024)
        application.router.add_post("/v1/audio/transcriptions", self._transcribe)
        application.router.add_get("/v1/realtime", self._realtime)
        return application

    def _status(self, script: Script, key: str) -> int:
        if script.accepts is not None:
            return script.accepts
        return 401 if self._key and key != self._key else 200

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        script = self._script_of_this_try()
        fields, file = await _form(request)
        key = _key(request)
        seen = SeenRequest(
            at=time.monotonic(),
            key=key,
            status=self._status(script, key),
            fields=fields,
            audio_s=0.0,
            words=[],
        )
        self.requests.append(seen)
        asking = self.asking
        asking.add(id(seen))
        self.note()
        try:
            return await self._answer(request, script, seen, file)
        finally:
            asking.discard(id(seen))
            self.note()

    async def _answer(
        self, request: web.Request, script: Script, seen: SeenRequest, file: bytes
    ) -> web.StreamResponse:
        if seen.status != 200:
            return _refusal(seen.status, script)
        while script.hangs and request.transport is not None:  # noqa: ASYNC110 - the client ends it
            await asyncio.sleep(0.02)
        pcm = _samples(file)
        problem = _problem(seen) if pcm is not None else "the file is no WAV of its length"
        if problem or pcm is None:
            self.violations.append(str(problem))
            seen.status = 400
            return _refusal(400, script)
        heard = words_in(pcm)
        seen.audio_s, seen.words = len(pcm) / 2 / REQUEST_RATE_HZ, [word.text for word in heard]
        await asyncio.sleep(script.answer_s)
        body = script.body or json.dumps(_answer_of(seen, heard, script)).encode()
        if script.says_rubbish:
            body = f"{RUBBISH}, no json at all".encode()
        if script.aborts_after_words is not None:
            await _half_an_answer(request, body)
        return web.Response(body=body, content_type="application/json")

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        script = self._script_of_this_try()
        key = _key(request)
        status = self._status(script, key)
        self.note()
        if status != 200:
            return _refusal(status, script)
        await asyncio.sleep(script.handshake_s)
        socket = web.WebSocketResponse(max_msg_size=1_000_000, timeout=0.5)
        await socket.prepare(request)
        seen = SeenSession(key=key, query=dict(request.query))
        if request.query.get("intent") != "transcription":
            self.violations.append("a session that is for something else")
        self.sessions.append(seen)
        session = _Session(self, request, socket, script, seen)
        self._live.add(session)
        try:
            await session.run()
        finally:
            self._live.discard(session)
            seen.is_open = False
            self.note()
        return socket


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _refusal(status: int, script: Script) -> web.Response:
    wait_s = script.retry_after_s
    return web.json_response(
        {"error": {"message": "refused", "type": "scripted", "param": None, "code": script.code}},
        status=status,
        headers=None if wait_s is None else {"Retry-After": str(round(wait_s))},
    )


async def _form(request: web.Request) -> tuple[list[tuple[str, str]], bytes]:
    boundary = request.headers["Content-Type"].partition("boundary=")[2].strip('"')
    fields, file = [], b""
    for part in (await request.read()).split(f"--{boundary}".encode())[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        named = re.search(rb'name="([^"]*)"', head)
        name, data = named[1].decode() if named else "", data.removesuffix(b"\r\n")
        if name == "file":
            file = data
        else:
            fields.append((name, data.decode()))
    return fields, file


def _samples(file: bytes) -> bytes | None:
    """PCM16 of a WAV of 16 kHz, mono, whose header tells its length; None: it is none."""
    if len(file) < 44 or file[:4] != b"RIFF" or file[8:16] != b"WAVEfmt " or file[36:40] != b"data":
        return None
    riff_bytes, data_bytes = struct.unpack("<I", file[4:8])[0], struct.unpack("<I", file[40:44])[0]
    _, kind, channels, rate_hz, byte_rate, block_bytes, bits = struct.unpack("<IHHIIHH", file[16:36])
    is_right = (kind, channels, rate_hz, byte_rate, block_bytes, bits) == (1, 1, 16_000, 32_000, 2, 16)
    has_length = riff_bytes == len(file) - 8 and data_bytes == len(file) - 44
    return file[44:] if is_right and has_length else None


def _problem(seen: SeenRequest) -> str | None:
    model = seen.one("model")
    names = [name for name, _ in seen.fields]
    plurals = {"languages[]", "keywords[]"}
    singles = [name for name in names if name not in plurals]
    if not model or len(singles) != len(set(singles)):
        return "a form with a field missing or doubled"
    if plurals & set(names) and not model.startswith(HINTED):
        return "a hint that the model does not take"
    if model.startswith("gpt-") and seen.one("response_format") not in ("json", ""):
        return "a format that the model does not have"
    if not all(re.fullmatch("[a-z]{2,3}", code) for code in seen.all_of("language")):
        return "a language that is not ISO 639"
    return "a prompt without bound" if len(seen.one("prompt").encode()) > MOST_PROMPT_BYTES else None


def _answer_of(seen: SeenRequest, heard: list[Word], script: Script) -> dict[str, Any]:
    text = " ".join(seen.words) if script.says is None else script.says
    if seen.one("response_format") != "verbose_json":
        languages = {"languages": [{"code": script.language}]} if script.language else {}
        return {"text": text, "usage": {"type": "duration", "seconds": round(seen.audio_s)}, **languages}
    segment = {
        "id": 0,
        "seek": 0,
        "start": heard[0].start_s if heard else 0.0,
        "end": heard[-1].end_s if heard else seen.audio_s,
        "text": f" {text}",
        "tokens": [50364],
        "temperature": 0.0,
        "avg_logprob": script.avg_logprob,
        "compression_ratio": 1.0,
        "no_speech_prob": script.no_speech_prob,
    }
    return {
        "task": "transcribe",
        "language": script.language or "english",
        "duration": seen.audio_s,
        "text": text,
        "segments": [segment] if text else [],
        "usage": {"type": "duration", "seconds": round(seen.audio_s)},
    }


async def _half_an_answer(request: web.Request, body: bytes) -> None:
    """And the connection is gone."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


class _Session:
    """One socket."""

    def __init__(
        self,
        server: ScriptedOpenAI,
        request: web.Request,
        socket: web.WebSocketResponse,
        script: Script,
        seen: SeenSession,
    ) -> None:
        self._server, self._request, self._socket, self._script = server, request, socket, script
        self._seen = seen
        self._model = ""
        self._items = 0
        self._said_words = 0
        self._answering: set[asyncio.Task[None]] = set()
        self._held_back: list[str] = []
        self._is_cut = False
        self._next_item()

    async def run(self) -> None:
        """Until either side ends it."""
        try:
            with contextlib.suppress(ConnectionError):
                await self._serve()
        finally:
            for task in self._answering:
                task.cancel()
            if not self._is_cut:
                self._seen.close_code = self._socket.close_code

    def abort(self) -> None:
        """No goodbye."""
        self._is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _serve(self) -> None:
        await self._send("session.created", session={"type": "transcription", "id": "sess_1"})
        async for message in self._socket:
            while self._script.hangs == "unread" and self._request.transport is not None:  # noqa: ASYNC110 - it ends outside
                await asyncio.sleep(0.05)
            if message.type is WSMsgType.TEXT:
                await self._take(json.loads(message.data))
                self._server.note()

    async def _take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "session.update":
                await self._update(event["session"])
            case "input_audio_buffer.append":
                await self._append(event.get("audio"))
            case "input_audio_buffer.commit":
                await self._commit()
            case _:
                self._object("an unknown event")

    async def _update(self, session: dict[str, Any]) -> None:
        self._seen.update = session
        audio = session["audio"]["input"]
        how = audio["transcription"]
        if session.get("type") != "transcription" or audio["format"] != {"type": "audio/pcm", "rate": 24_000}:
            self._object("a session that is for something else")
        if "turn_detection" not in audio or audio["turn_detection"] is not None:
            self._object("a session that cuts utterances by itself")
        if {"languages", "keywords"} & set(how) and not how["model"].startswith(HINTED):
            self._object("a hint that the model does not take")
        if not all(
            re.fullmatch("[a-z]{2,3}", c) for c in [how.get("language", "en"), *how.get("languages", [])]
        ):
            self._object("a language that is not ISO 639")
        if how["model"] not in STREAM_MODELS:
            await self._error("model_not_found")
            return
        self._model = how["model"]
        await self._send("session.updated", session=session)

    async def _append(self, audio: Any) -> None:
        try:
            pcm = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError):
            pcm = b""
        if not pcm or len(pcm) % 2:
            self._object("no audio")
        if not self._model:
            self._object("audio before the model")
        self._seen.audio_bytes += len(pcm)
        self._seen.appends += 1
        self._buffer_bytes += len(pcm)
        if self._script.hangs:
            return
        if not self._model.startswith(LIVE):
            self._unheard += pcm
            return
        for step in (pcm[at : at + 960] for at in range(0, len(pcm), 960)):
            await self._say(self._item, self._words, [word.text for word in self._ear.feed(step)])
            if self._ear.under_way is not None:
                await self._maybe_end_here(self._item)

    async def _commit(self) -> None:
        if self._buffer_bytes < LEAST_COMMIT_BYTES:
            self._object("a commit of nothing")
            await self._error("input_audio_buffer_commit_empty")
            return
        item, words, unheard, ear = self._item, self._words, self._unheard, self._ear
        self._seen.items_s.append(self._buffer_bytes / 2 / STREAM_RATE_HZ)
        self._next_item()
        if self._script.hangs:
            return
        await self._send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        await self._send("conversation.item.added", item={"id": item, "type": "message"})
        answering = asyncio.create_task(self._answer(item, words, unheard, ear), name="answer")
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    def _next_item(self) -> None:
        self._items += 1
        self._item = f"item_{self._items}"
        self._ear = Ear(sample_rate_hz=STREAM_RATE_HZ)
        self._words: list[str] = []
        self._unheard = b""
        self._buffer_bytes = 0

    async def _answer(self, item: str, words: list[str], unheard: bytes, ear: Ear) -> None:
        script = self._script
        with contextlib.suppress(ConnectionError):
            await asyncio.sleep(script.answer_s)
            for step in (unheard[at : at + 960] for at in range(0, len(unheard), 960)):
                await self._say(item, words, [word.text for word in ear.feed(step)])
                if ear.under_way is not None:
                    await self._maybe_end_here(item)
            text = " ".join(words) if script.says is None else script.says
            languages = {"languages": [{"code": script.language}]} if script.language else {}
            completed = {"item_id": item, "content_index": 0, "transcript": text, **languages}
            if script.completes_backwards and self._items <= 3:
                self._held_back.insert(0, _line(TRANSCRIPTION + "completed", **completed))
                if len(self._held_back) < 2:
                    return
                for line in self._held_back:
                    await self._socket.send_str(line)
                return
            await self._send(TRANSCRIPTION + "completed", **completed)

    async def _say(self, item: str, words: list[str], new: list[str]) -> None:
        for word in new:
            if self._script.says_rubbish:
                for line in RUBBISH_LINES:
                    await self._socket.send_str(line)
                await self._socket.send_bytes(RUBBISH.encode())
            delta = f" {word}" if words else word
            words.append(word)
            self._said_words += 1
            await self._send(TRANSCRIPTION + "delta", item_id=item, content_index=0, delta=delta)

    async def _maybe_end_here(self, item: str) -> None:
        """In the middle of a word."""
        script = self._script
        if self._said_words == script.aborts_after_words:
            self.abort()
            raise ConnectionError
        if self._said_words == script.fails_after_words:
            await self._send(TRANSCRIPTION + "failed", item_id=item, error={"code": script.code})
            raise ConnectionError
        if self._said_words == script.expires_after_words:
            await self._error("session_expired")
            self._is_cut = True
            await self._socket.close(code=1001)
            raise ConnectionError

    def _object(self, violation: str) -> None:
        self._server.violations.append(violation)

    async def _error(self, code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "scripted", "param": None}
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_str(_line(kind, **fields))


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "event_id": "event_1", **fields})
