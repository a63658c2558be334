"""A scripted `/v1/realtime` that hears marked words, in a process of its own, asked in lines of JSON.

The counterpart of `tests.support.scripted_deepgram` for the wire of our own speech server: a word is said as soon as
its last sample has come in, plus the scripted delay.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections import deque
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.support.deepgram.markers import Marker, MarkerEar
from tests.support.ports import free_port
from tools.bench.child import answer_lines

RATE_HZ = 16_000
MODEL = "scripted"


class Engine:
    """The server, its script and what it noted."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.finals: list[dict[str, Any]] = []

    async def script(self, delay_ms: float) -> None:
        self.delay_s = delay_ms / 1000

    async def seen(self) -> list[dict[str, Any]]:
        """Finals since it was last asked: when they were sent, and their text."""
        told, self.finals = self.finals, []
        return told

    async def serve(self, port: int) -> None:
        application = web.Application()
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/realtime", self._realtime)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1_000_000)
        await socket.prepare(request)
        conversation = _Conversation(self, socket)
        try:
            with contextlib.suppress(ConnectionError):
                await conversation.run()
        finally:
            conversation.end()
        return socket


class _Conversation:
    """One socket."""

    def __init__(self, engine: Engine, socket: web.WebSocketResponse) -> None:
        self._engine, self._socket = engine, socket
        self._ear = MarkerEar(sample_rate_hz=RATE_HZ)
        self._rest = np.empty(0, np.int16)
        self._heard = 0
        self._due: deque[Marker] = deque()
        self._words: list[str] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        await self._socket.send_json(
            {"type": "session.created", "id": "scripted", "created": int(time.time())}
        )
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if event["type"] == "input_audio_buffer.append":
                self._hear(base64.b64decode(event["audio"]))
            elif event["type"] == "input_audio_buffer.commit" and event.get("final"):
                self._say_words(everything=True)
                self._later(self._done())

    def end(self) -> None:
        for task in self._sending:
            task.cancel()

    def _hear(self, pcm: bytes) -> None:
        samples = np.concatenate((self._rest, np.frombuffer(pcm, np.int16)))
        whole = len(samples) // self._ear.hop * self._ear.hop
        for start in range(0, whole, self._ear.hop):
            if marker := self._ear.feed(samples[start : start + self._ear.hop]):
                self._due.append(marker)
        self._rest = samples[whole:]
        self._heard += whole
        self._say_words()

    def _say_words(self, *, everything: bool = False) -> None:
        """Those that have been heard to their end."""
        while self._due and (everything or self._heard / RATE_HZ >= self._due[0].end_s):
            self._later(self._delta(f"w{self._due.popleft().code:03}"))

    def _later(self, saying: Any) -> None:
        task = asyncio.create_task(self._after_delay(saying))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _after_delay(self, saying: Any) -> None:
        if self._engine.delay_s:
            await asyncio.sleep(self._engine.delay_s)
        with contextlib.suppress(ConnectionError):
            async with self._lock:
                await saying

    async def _delta(self, word: str) -> None:
        text = f" {word}" if self._words else word
        self._words.append(word)
        await self._socket.send_json({"type": "transcription.delta", "delta": text})

    async def _done(self) -> None:
        text, self._words = " ".join(self._words), []
        self._engine.finals.append({"at": time.monotonic(), "text": text})
        await self._socket.send_json({"type": "transcription.done", "text": text, "usage": None})


async def main() -> None:
    engine, port = Engine(), free_port()
    await engine.serve(port)

    async def url() -> str:
        return f"http://127.0.0.1:{port}"

    await answer_lines({"url": url, "script": engine.script, "seen": engine.seen})


if __name__ == "__main__":
    asyncio.run(main())
