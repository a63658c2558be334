"""A server of Mistral's realtime transcription that hears marked words.

By their SDK and by what its users report of the service: the last word is held until a flush or the end, a flush is
answered by `done` once in a connection, and after `input_audio.end` it takes no more.
"""

import asyncio
import base64
import json
from typing import Any

from aiohttp import web

from tests.support.engines.contract import RUBBISH
from tests.support.engines.ear import Ear
from tests.support.engines.sockets import (
    LAST_WORDS_S,
    Script,
    SeenSession,
    SocketEngine,
    SocketSession,
)

MODEL = "voxtral-mini-transcribe-realtime-2602"
MAX_APPEND_BYTES = 262_144
LANGUAGE = "en"


class ScriptedMistral(SocketEngine):
    """`with ScriptedMistral(key=...) as engine:`."""

    PATH = "/v1/audio/transcriptions/realtime"

    def key_of(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    def session(
        self, request: web.Request, socket: web.WebSocketResponse, script: Script, seen: SeenSession
    ) -> "SocketSession":
        return _Session(self, request, socket, script, seen)


class _Session(SocketSession):
    RUBBISH = (
        json.dumps({"type": "transcription.text.delta", "text": [RUBBISH]}),
        json.dumps({"type": ["transcription.text.delta"], "text": RUBBISH}),
        json.dumps({"type": "transcription.done", "text": None}),
        json.dumps({"type": "transcription.segment", "text": RUBBISH, "start": -1, "end": "x"}),
        json.dumps({"type": "something.new", "text": RUBBISH}),
        json.dumps({"text": RUBBISH}),
    )

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ear = Ear()
        self._said: list[str] = []
        self._held: list[str] = []
        self._has_answered = self._has_ended = self._has_language = False

    async def greet(self) -> None:
        model = self.seen.query.get("model", [""])[0]
        if model != MODEL:
            await self.fail(404)
            raise ConnectionError
        session = {
            "request_id": "scripted",
            "model": model,
            "audio_format": {"encoding": "pcm_s16le", "sample_rate": 16_000},
        }
        await self.say({"type": "session.created", "session": session})

    async def take(self, message: dict[str, Any]) -> None:
        if self._has_ended:
            self.object("something after the end")
        if message.get("type") != "input_audio.append":
            self.seen.messages.append(str(message.get("type")))
        match message.get("type"):
            case "input_audio.append":
                pcm = base64.b64decode(message["audio"], validate=True)
                if not 0 < len(pcm) <= MAX_APPEND_BYTES:
                    self.object("too little or too much audio in a message")
                self.seen.audio_bytes += len(pcm)
                await self._hear(pcm)
            case "input_audio.flush":
                if not self._has_answered:
                    await self._done()
            case "input_audio.end":
                self._has_ended = True
                if not self._has_answered or self._said or self._held:
                    await self._done()
            case _:
                self.object("an unknown message")

    async def say_error(self, word: str | int) -> None:
        error = {"message": {"detail": f"{RUBBISH}, in their own words"}, "code": word}
        await self._socket.send_str(json.dumps({"type": "error", "error": error}))

    async def _hear(self, pcm: bytes) -> None:
        if self.script.hangs:
            return
        for at in range(0, len(pcm), 320):
            for word in self._ear.feed(pcm[at : at + 320]):
                await self.say_rubbish()
                await self._say_held()
                self._held.append(word.text)
            if self._ear.under_way is not None:
                await self.before_word()

    async def _say_held(self) -> None:
        if self._held and not self._has_language:
            self._has_language = True
            await self.say({"type": "transcription.language", "audio_language": LANGUAGE})
        for word in self._held:
            before = " " if self._said else ""
            self._said.append(word)
            await self.say({"type": "transcription.text.delta", "text": before + word})
        self._held = []

    async def _done(self) -> None:
        self._has_answered = True
        await self._say_held()
        await asyncio.sleep(LAST_WORDS_S)
        text, self._said = " ".join(self._said), []
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_audio_seconds": 1}
        await self.say(
            {
                "type": "transcription.done",
                "model": MODEL,
                "text": text,
                "language": LANGUAGE,
                "usage": usage,
                "segments": [],
            }
        )
