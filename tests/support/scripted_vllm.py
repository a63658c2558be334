"""A server of vLLM's `/v1/realtime` that hears marked words, and behaves towards its clients as vLLM does.

Read in vLLM's `connection.py` (2026): it sends `session.created` when it has accepted, puts audio into a queue, ignores
a commit while a generation runs, generates for every 80 ms (mostly nothing), sends `done` and only then clears its
queue, and ends the generation a moment later. A generation that fails gets `error` and no `done`. Past the length
of its model the whole engine dies. What no client should do is done to vLLM's own rules, and noted.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMsgType, web

from tests.support.engines.contract import RUBBISH
from tests.support.engines.ear import Ear
from tests.support.engines.scripted import ScriptedServer

MODEL = "mistralai/Voxtral-Mini-4B-Realtime-2602"
BYTES_PER_S = 32_000
STEP_BYTES = BYTES_PER_S * 80 // 1000
"""Voxtral generates once for so much audio."""
ENDS_AFTER_DONE_S = 0.02
"""vLLM's generation ends so long after its `done`; until then it ignores a commit."""
NORMAL = 1000
RUBBISH_LINES = (
    f"{RUBBISH}, no json at all",
    "",
    "[" * 5_000,
    json.dumps([RUBBISH]),
    json.dumps({"type": "transcription.delta", "delta": [RUBBISH]}),
    json.dumps({"type": "transcription.delta"}),
    json.dumps({"type": "transcription.done", "text": None}),
    json.dumps({"type": "transcription.segment", "text": RUBBISH}),
    json.dumps({"type": ["transcription.delta"], "delta": RUBBISH}),
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """How a session goes; one that has begun keeps to its own."""

    accepts: int | None = None
    """The HTTP status a handshake is refused with."""
    retry_after_s: float | None = None
    accepts_after_s: float = 0.0
    greets: bool = True
    """False: `session.created` never comes."""
    greets_with: str | None = None
    """The code of an `error` instead of `session.created`, then 1013."""
    hangs: Literal["silent", "unread"] | None = None
    """`silent`: takes everything, says nothing. `unread`: stops reading."""
    hangs_after_words: int | None = None
    """Falls silent then, without an error."""
    aborts_after_words: int | None = None
    """The connection is gone in the middle of the next word."""
    fails_after_words: int | None = None
    """There the generation ends with an error of `fails_with`."""
    fails_with: str = "processing_error"
    close_code: int | None = None
    """Sent after that error; None: the session goes on."""
    says_rubbish: bool = False
    """Before each word, what is no event."""
    ends_by_itself_after_words: int | None = None
    """`done` without a final commit: Voxtral never does so."""
    last_words_s: float = 0.02
    """From the end of the audio to `done`."""
    done_says: str | None = None
    """Instead of the words of the deltas."""
    max_model_s: float = 900.0
    """A generation over more audio kills the engine: all sessions get `processing_error` and are cut."""


@dataclass(kw_only=True)
class Utterance:
    """One generation as the server heard it."""

    audio_bytes: int = 0
    words: list[str] = field(default_factory=list)
    is_done: bool = False

    @property
    def seconds(self) -> float:
        return self.audio_bytes / BYTES_PER_S


@dataclass(kw_only=True)
class SeenSession:
    """One socket's life."""

    number: int
    model: str | None = None
    audio_bytes: int = 0
    """All that was appended."""
    appends: int = 0
    utterances: list[Utterance] = field(default_factory=list)
    is_open: bool = True
    close_code: int | None = None
    """What the client closed it with; ABNORMAL: it was just gone. None while open, and when the server ended it."""


class ScriptedVllm(ScriptedServer):
    """Its sessions, and the list of its models."""

    SCRIPT = Script

    def behave(self) -> None:
        super().behave()
        self.is_dead = False

    def die(self) -> None:
        """As vLLM beyond its model's length: nobody is served any more."""
        self.is_dead = True
        for session in list(self._live):
            session.dies()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/realtime", self._realtime)
        return application

    async def _models(self, request: web.Request) -> web.Response:
        if not self._is_welcome(request):
            return web.Response(status=401)
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        script = self._script_of_this_try()
        self.note()
        status = 500 if self.is_dead else script.accepts
        if status is None and not self._is_welcome(request):
            status = 401
        if status is not None:
            wait_s = script.retry_after_s
            headers = None if wait_s is None else {"Retry-After": str(round(wait_s))}
            return web.Response(status=status, headers=headers)
        await asyncio.sleep(script.accepts_after_s)
        socket = web.WebSocketResponse(max_msg_size=1_000_000, timeout=0.5)
        await socket.prepare(request)
        seen = SeenSession(number=len(self.sessions) + 1)
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

    def _is_welcome(self, request: web.Request) -> bool:
        return not self._key or request.headers.get("Authorization") == f"Bearer {self._key}"


class _Session:
    """One socket."""

    def __init__(
        self,
        server: ScriptedVllm,
        request: web.Request,
        socket: web.WebSocketResponse,
        script: Script,
        seen: SeenSession,
    ) -> None:
        self._server, self._request, self._socket, self._script = server, request, socket, script
        self._seen = seen
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._generation: asyncio.Task[None] | None = None
        self._is_ending = self._is_cut = self._has_failed = False
        self._words = 0

    async def run(self) -> None:
        """Until either side ends it."""
        try:
            with contextlib.suppress(ConnectionError):
                await self._serve()
        finally:
            if self._generation is not None:
                self._generation.cancel()
                await asyncio.wait({self._generation})
            if not self._is_cut:
                self._seen.close_code = self._socket.close_code

    def abort(self) -> None:
        """No goodbye."""
        self._is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def dies(self) -> None:
        """The engine behind it is gone."""
        if self._generation is not None:
            self._generation.cancel()
        self._generation = asyncio.create_task(self._last_error())

    async def _last_error(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._error("EngineCore encountered an issue", "processing_error")
            await asyncio.sleep(0.01)
        self.abort()

    async def _serve(self) -> None:
        if self._script.greets_with:
            self._is_cut = True
            await self._error("no", self._script.greets_with)
            await self._socket.close(code=1013)
            return
        if self._script.greets:
            await self._send("session.created", id=f"sess-{self._seen.number}", created=int(time.time()))
        async for message in self._socket:
            while self._script.hangs == "unread" and self._request.transport:  # noqa: ASYNC110 - its client ends it
                await asyncio.sleep(0.05)
            if message.type is WSMsgType.TEXT:
                await self._take(message.data)
                self._server.note()

    async def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            self._object("no JSON")
            await self._error("Invalid JSON", "invalid_json")
            return
        match event.get("type"):
            case "session.update":
                await self._update(event.get("model"))
            case "input_audio_buffer.append":
                await self._append(event.get("audio"))
            case "input_audio_buffer.commit":
                await self._commit(is_final=event.get("final", False))
            case other:
                self._object("an unknown event")
                await self._error(f"Unknown event type: {other}", "unknown_event")

    async def _update(self, model: Any) -> None:
        if model is None:
            self._object("no model")
            await self._error("Missing required field: model", "invalid_event")
        elif model != MODEL:
            await self._error(f"The model `{model}` does not exist.", "model_not_found")
        else:
            self._seen.model = model

    async def _append(self, audio: Any) -> None:
        try:
            pcm = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError):
            pcm = b""
        if not pcm or len(pcm) % 2:
            self._object("no audio")
            await self._error("Invalid audio data", "invalid_audio")
            return
        if self._is_ending:
            self._object("audio between the final commit and done")
        self._seen.audio_bytes += len(pcm)
        self._seen.appends += 1
        self._queue.put_nowait(pcm)

    async def _commit(self, *, is_final: bool) -> None:
        if self._seen.model is None:
            self._object("a commit before the model")
            await self._error("Model not validated.", "model_not_validated")
            return
        is_generating = self._generation is not None and not self._generation.done()
        if is_final:
            if not is_generating or self._is_ending:
                self._object("a final commit that ends nothing")
            self._is_ending = True
            self._queue.put_nowait(None)
        elif is_generating:
            self._object("a commit while generating")
        else:
            if self._queue.empty():
                self._object("a commit before any audio")
            utterance = Utterance()
            self._seen.utterances.append(utterance)
            self._generation = asyncio.create_task(self._generate(utterance), name="generation")

    async def _generate(self, utterance: Utterance) -> None:
        with contextlib.suppress(ConnectionError):
            await self._hear(utterance)
            await asyncio.sleep(self._script.last_words_s)
            if self._script.hangs:
                return
            text = self._script.done_says or " ".join(utterance.words)
            self._is_ending = False
            utterance.is_done = True
            self._server.note()
            await self._send("transcription.done", text=text, usage=None)
            while not self._queue.empty():
                self._queue.get_nowait()
            await asyncio.sleep(ENDS_AFTER_DONE_S)

    async def _hear(self, utterance: Utterance) -> None:
        """Until its audio ends."""
        script, ear, unheard = self._script, Ear(), b""
        while (pcm := await self._queue.get()) is not None:
            utterance.audio_bytes += len(pcm)
            if script.hangs:
                continue
            if utterance.seconds > script.max_model_s:
                self._server.die()
                return
            unheard += pcm
            while len(unheard) >= STEP_BYTES:
                step, unheard = unheard[:STEP_BYTES], unheard[STEP_BYTES:]
                await self._say(utterance, [word.text for word in ear.feed(step)])
                if ear.under_way is not None:
                    await self._maybe_end_here()
                if script.ends_by_itself_after_words == self._words:
                    return
        await self._say(utterance, [word.text for word in ear.feed(unheard)])

    async def _say(self, utterance: Utterance, words: list[str]) -> None:
        if self._script.hangs_after_words is not None and self._words >= self._script.hangs_after_words:
            await asyncio.Event().wait()
        if words and self._script.says_rubbish:
            for line in RUBBISH_LINES:
                await self._socket.send_str(line)
            await self._socket.send_bytes(RUBBISH.encode())
        self._words += len(words)
        before = " " if utterance.words and words else ""
        utterance.words += words
        await self._send("transcription.delta", delta=before + " ".join(words))

    async def _maybe_end_here(self) -> None:
        """In the middle of a word."""
        script = self._script
        if self._words == script.aborts_after_words:
            self.abort()
            await asyncio.Event().wait()
        if self._words == script.fails_after_words:
            self._has_failed = True
            await self._error("it broke", script.fails_with)
            if script.close_code is not None:
                self._is_cut = True
                await self._socket.close(code=script.close_code)
            raise ConnectionError

    def _object(self, violation: str) -> None:
        if not self._has_failed:  # else the client may not have heard of it yet
            self._server.violations.append(violation)

    async def _error(self, text: str, code: str) -> None:
        await self._send("error", error=text, code=code)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_str(json.dumps({"type": kind, **fields}))
