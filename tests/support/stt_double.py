"""A speech server that speaks vLLM's `/v1/realtime`, says a word for every stretch of audio, and checks its client.

It hears no words, but how loud somebody is: each word begins with `loud` or `quiet`, so a caption tells whose
audio it was made of.
"""

import asyncio
import base64
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.support.threaded import ThreadedServer

BYTES_PER_S = 32_000
FIRST_WORD_AFTER_BYTES = BYTES_PER_S * 8 // 10
"""Longer than the pre-roll, so that the voice itself has been heard."""
WORD_EVERY_BYTES = BYTES_PER_S * 4 // 10
LOUD = 6_000
REST_S = 0.05
MODEL = "double"


@dataclass(kw_only=True)
class Script:
    """How the server behaves; may be changed at any time."""

    refuses: int | None = None
    """Answers the WebSocket's request with this HTTP status."""
    retry_after: str | None = None
    """Sent with the refusal."""
    is_full: bool = False
    """`error` with code `capacity`, then 1013."""
    hangs: bool = False
    """Takes everything, says nothing."""
    fails_next_utterance: bool = False
    """One `error` with code `processing_error` instead of the next `done`."""
    says_nothing: bool = False
    """`done` without words."""
    garbage: bool = False
    """Between the events also what is no event."""
    word: str = ""
    """Said instead of `loud` and `quiet`."""


@dataclass(kw_only=True)
class Utterance:
    """One stretch as the server heard it."""

    connection: int
    audio: bytes = b""
    words: list[str] = field(default_factory=list)
    is_ended: bool = False
    done_at: float | None = None

    @property
    def seconds(self) -> float:
        return len(self.audio) / BYTES_PER_S


class SttDouble:
    """`with SttDouble() as engine:`."""

    def __init__(self) -> None:
        self._server = ThreadedServer(self._application)
        self._changed = threading.Condition()
        self._open_sockets: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard and behave again."""
        self.script = Script()
        self.utterances: list[Utterance] = []
        self.violations: list[str] = []
        self.connections = 0
        self.tried = 0
        self.most_open = len(self._open_sockets)

    def __enter__(self) -> "SttDouble":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def open_connections(self) -> int:
        return len(self._open_sockets)

    def shut(self) -> None:
        self._server.shut()

    def open(self) -> None:
        self._server.open()

    async def until(self, is_so: Any, *, timeout_s: float = 10) -> None:
        """Wait for something to become true of this server."""
        async with asyncio.timeout(timeout_s):
            while not is_so(self):
                await asyncio.to_thread(self._wait_for_change)

    def _wait_for_change(self) -> None:
        with self._changed:
            self._changed.wait(0.1)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/realtime", self._realtime)
        return application

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        self.tried += 1
        self._note()
        if self.script.refuses:
            wait = self.script.retry_after
            return web.Response(
                status=self.script.refuses, headers=None if wait is None else {"Retry-After": wait}
            )
        socket = web.WebSocketResponse(max_msg_size=1_000_000)
        await socket.prepare(request)
        if self.script.is_full:
            await socket.send_json({"type": "error", "error": "full", "code": "capacity"})
            await socket.close(code=1013)
            return socket
        self.connections += 1
        number = self.connections
        self._open_sockets.add(id(socket))
        self.most_open = max(self.most_open, len(self._open_sockets))
        try:
            with contextlib.suppress(ConnectionError):
                await _Session(self, socket, number).run()
        finally:
            self._open_sockets.discard(id(socket))
            self._note()
        return socket


class _Session:
    """One socket, as vLLM would treat it."""

    def __init__(self, server: SttDouble, socket: web.WebSocketResponse, number: int) -> None:
        self._server, self._socket, self._number = server, socket, number
        self._has_model = False
        self._appended = b""
        self._current: Utterance | None = None
        self._done_at = float("-inf")

    async def run(self) -> None:
        await self._socket.send_json({"type": "session.created", "id": "double", "created": int(time.time())})
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._take(json.loads(message.data))
                self._server._note()

    async def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                self._has_model = event["model"] == MODEL
            case "input_audio_buffer.append":
                await self._append(base64.b64decode(event["audio"]))
            case "input_audio_buffer.commit":
                await (self._end() if event.get("final") else self._begin())
            case other:
                self._server.violations.append(f"unknown event {other}")

    async def _begin(self) -> None:
        if not self._has_model:
            self._server.violations.append("commit before the model")
        if not self._appended:
            self._server.violations.append("commit before any audio")
        if time.monotonic() - self._done_at < REST_S * 0.9:
            self._server.violations.append("commit too soon after done")
        if self._current:
            self._server.violations.append("commit while generating")
            return
        self._current = Utterance(connection=self._number, audio=self._appended)
        self._server.utterances.append(self._current)
        self._appended = b""

    async def _append(self, pcm: bytes) -> None:
        if not pcm or len(pcm) % 2:
            self._server.violations.append("no audio")
        if self._current is None:
            self._appended += pcm
        elif self._current.is_ended:
            self._server.violations.append("audio between the final commit and done")
        else:
            self._current.audio += pcm
            await self._say_words(self._current)

    async def _say_words(self, utterance: Utterance) -> None:
        script = self._server.script
        if script.hangs or script.says_nothing or len(utterance.audio) < FIRST_WORD_AFTER_BYTES:
            return
        while len(utterance.words) <= (len(utterance.audio) - FIRST_WORD_AFTER_BYTES) // WORD_EVERY_BYTES:
            number = len(utterance.words)
            loudness = np.abs(np.frombuffer(utterance.audio, np.int16).astype(np.int32)).max()
            word = f"{script.word or ('loud' if loudness > LOUD else 'quiet')}{number}"
            utterance.words.append(word)
            if script.garbage:
                await self._socket.send_str("no json at all")
                await self._socket.send_json({"type": "transcription.delta", "delta": 5})
                await self._socket.send_json([1, 2])
            await self._socket.send_json(
                {"type": "transcription.delta", "delta": f" {word}" if number else word}
            )

    async def _end(self) -> None:
        utterance, script = self._current, self._server.script
        if utterance is None:
            self._server.violations.append("final commit without a generation")
            return
        utterance.is_ended = True
        if script.hangs:
            return
        asyncio.get_running_loop().create_task(self._done(utterance))

    async def _done(self, utterance: Utterance) -> None:
        await asyncio.sleep(0.1)  # a decoder's last words
        self._current = None
        if self._server.script.fails_next_utterance:
            self._server.script.fails_next_utterance = False
            await self._socket.send_json({"type": "error", "error": "it broke", "code": "processing_error"})
            return
        text = " ".join(utterance.words)
        with contextlib.suppress(ConnectionError):
            await self._socket.send_json({"type": "transcription.done", "text": text, "usage": None})
        self._done_at = utterance.done_at = time.monotonic()
        self._server._note()
