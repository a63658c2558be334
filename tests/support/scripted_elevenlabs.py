"""A server of ElevenLabs' realtime wire that hears marked words.

By their event reference and by what livekit-plugins-elevenlabs 1.8.9 knows of the service: a commit of less than 0.3 s
of audio ends the session, a language with a region connects and is never transcribed, and each commit is told a
second time where timestamps or the language were asked for.
"""

import asyncio
import base64
import json
from typing import Any

from aiohttp import web

from tests.support.engines.contract import RUBBISH
from tests.support.engines.ear import Ear, Word
from tests.support.engines.sockets import (
    LAST_WORDS_S,
    Script,
    SeenSession,
    SocketEngine,
    SocketSession,
)

MODEL = "scribe_v2_realtime"
BYTES_PER_S = 32_000
LEAST_COMMIT_S = 0.3
DETECTED = "en"


class ScriptedElevenLabs(SocketEngine):
    """`with ScriptedElevenLabs(key=...) as engine:`."""

    PATH = "/v1/speech-to-text/realtime"

    @property
    def base_url(self) -> str:
        """As in STT_BASE_URL."""
        return f"{self.url}/v1"

    def key_of(self, request: web.Request) -> str:
        return request.headers.get("xi-api-key", "")

    def session(
        self, request: web.Request, socket: web.WebSocketResponse, script: Script, seen: SeenSession
    ) -> "SocketSession":
        return _Session(self, request, socket, script, seen)


class _Session(SocketSession):
    RUBBISH = (
        json.dumps({"message_type": "partial_transcript", "text": [RUBBISH]}),
        json.dumps({"message_type": ["partial_transcript"], "text": RUBBISH}),
        json.dumps({"message_type": "committed_transcript", "text": None}),
        json.dumps({"message_type": "something_new", "text": RUBBISH}),
        json.dumps({"text": RUBBISH}),
    )

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ear = Ear()
        self._segment: list[Word] = []
        self._uncommitted_s = 0.0

    async def greet(self) -> None:
        if self._asked("model_id") != MODEL:
            await self.fail("invalid_request")
            raise ConnectionError
        for name, value in (("audio_format", "pcm_16000"), ("commit_strategy", "manual")):
            if self._asked(name) != value:
                self.object(f"{name} is not {value}")
        await self.say(
            {
                "message_type": "session_started",
                "session_id": "scripted",
                "config": {"sample_rate": 16_000, "model_id": MODEL, "commit_strategy": "manual"},
            }
        )

    async def take(self, message: dict[str, Any]) -> None:
        if message.get("message_type") != "input_audio_chunk" or message.get("sample_rate") != 16_000:
            self.object("an unknown message")
            await self.fail("input_error")
            raise ConnectionError
        pcm = base64.b64decode(message["audio_base_64"], validate=True)
        self.seen.audio_bytes += len(pcm)
        self._uncommitted_s += len(pcm) / BYTES_PER_S
        await self._hear(pcm)
        if message["commit"]:
            await self._commit()

    async def say_error(self, word: str | int) -> None:
        await self._socket.send_str(
            json.dumps({"message_type": word, "error": f"{RUBBISH}, in their own words"})
        )

    async def _hear(self, pcm: bytes) -> None:
        if self.script.hangs or "-" in (self._asked("language_code") or ""):
            return
        for at in range(0, len(pcm), 320):
            for word in self._ear.feed(pcm[at : at + 320]):
                await self.say_rubbish()
                self._segment.append(word)
                await self.say({"message_type": "partial_transcript", "text": self._text})
            if self._ear.under_way is not None:
                await self.before_word()

    async def _commit(self) -> None:
        if self._uncommitted_s < LEAST_COMMIT_S - 1e-6:
            self.object("a commit of too little audio")
            await self.fail("input_error")
            raise ConnectionError
        self._uncommitted_s = 0.0
        self.seen.commits_s.append(self.seen.audio_bytes / BYTES_PER_S)
        await asyncio.sleep(LAST_WORDS_S)
        text, words = self._text, self._segment
        self._segment = []
        await self.say({"message_type": "committed_transcript", "text": text})
        wants_times = self._asked("include_timestamps") == "true"
        wants_language = self._asked("include_language_detection") == "true"
        if wants_times or wants_language:
            await asyncio.sleep(LAST_WORDS_S)
            await self.say(
                {
                    "message_type": "committed_transcript_with_timestamps",
                    "text": text,
                    "language_code": DETECTED if wants_language else self._asked("language_code"),
                    "words": [
                        {"text": w.text, "start": w.start_s, "end": w.end_s, "type": "word", "logprob": -0.1}
                        for w in words
                    ],
                }
            )

    @property
    def _text(self) -> str:
        return " ".join(word.text for word in self._segment)

    def _asked(self, name: str) -> str | None:
        return next(iter(self.seen.query.get(name, ())), None)
