"""A client of Mistral's realtime transcription behind LiveKit's `stt.STT` (docs/adr/0008).

Each utterance has a WebSocket of its own, opened at its first audio; while the last words of one are awaited, the audio
of the next one waits in the stream's input.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr, stt

from agents.runtime.errors import EngineLost
from agents.stt.dialing import OpenSession, open_session
from agents.stt.faults import fault_of
from agents.stt.mistral.models import END, FLUSH
from agents.stt.mistral.protocol import (
    Created,
    Delta,
    Done,
    Failed,
    Language,
    MistralOptions,
    append_line,
    language_of,
    parse,
    realtime_url,
)
from agents.stt.streams import ANSWER_TIMEOUT_S, BYTES_PER_S, EngineStream, HttpSTT, said, send, talk
from agents.stt.wire import MAX_TEXT_CHARS

PING_INTERVAL_S = 10.0


class MistralSTT(HttpSTT):
    """Connections share one HTTP session."""

    def __init__(self, options: MistralOptions, *, open_http: OpenSession = open_session) -> None:
        super().__init__(open_http=open_http)
        self.options = options

    @property
    def model(self) -> str:
        """The model's name."""
        return self.options.model

    @property
    def provider(self) -> str:
        """For metrics."""
        return "mistral"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "MistralStream":
        """`language` is what the words are said to be in until the engine has detected one."""
        return MistralStream(engine=self, language=language or "", conn_options=conn_options)


class MistralStream(EngineStream):
    """One utterance after the other."""

    def __init__(self, *, engine: MistralSTT, language: str, conn_options: APIConnectOptions) -> None:
        super().__init__(engine=engine, conn_options=conn_options)
        self._engine = engine
        self._language = language_of(language)
        self._begin_bytes = self._sent_bytes = 0
        self._text = ""
        self._is_ending = False
        self._is_created, self._is_done = asyncio.Event(), asyncio.Event()

    async def _converse(self) -> None:
        pieces = self._pieces()
        async for piece in pieces:
            if piece is not None:
                await self._utterance(piece, pieces)
            self._end_speech()

    async def _utterance(self, first: bytes, pieces: AsyncIterator[bytes | None]) -> None:
        """To the next flush; the gate makes one in a monologue too."""
        self._begin_bytes, self._text, self._is_ending = self._sent_bytes, "", False
        socket = await self._connected()
        self._is_created, self._is_done = asyncio.Event(), asyncio.Event()
        await talk(socket, listening=self._listen(socket), speaking=self._speak(socket, first, pieces))

    async def _connected(self) -> aiohttp.ClientWebSocketResponse:
        options = self._engine.options
        return await self._engine.connect(
            realtime_url(options),
            headers=options.headers,
            timeout_s=self._conn_options.timeout,
            ping_interval_s=PING_INTERVAL_S,
        )

    async def _until_created(self) -> None:
        """Audio may come then."""
        try:
            async with asyncio.timeout(self._conn_options.timeout):
                await self._is_created.wait()
        except TimeoutError as error:
            raise EngineLost("the engine does not begin") from error

    async def _speak(
        self, socket: aiohttp.ClientWebSocketResponse, first: bytes, pieces: AsyncIterator[bytes | None]
    ) -> None:
        """All of the utterance, until it is answered."""
        await self._until_created()
        await self._append(socket, first)
        async for piece in pieces:
            if piece is None:
                break
            await self._append(socket, piece)
        self._is_ending = True
        for line in (FLUSH, END):
            await send(socket, line)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._is_done.wait()
        except TimeoutError as error:
            raise EngineLost("the engine does not finish") from error

    async def _append(self, socket: aiohttp.ClientWebSocketResponse, pcm: bytes) -> None:
        self._sent_bytes += len(pcm)
        await send(socket, append_line(pcm))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the whole utterance has been said."""
        async for message in socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                break
            match parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None:
                case None:
                    self._drop()
                case Created():
                    self._is_created.set()
                case Failed(code=code):
                    raise fault_of(status=code, headers=None)
                case Language(language=language):
                    self._language = language or self._language
                case Delta(text=text):
                    self._text = (self._text + text)[:MAX_TEXT_CHARS]
                    self._say_interim(self._said(self._text))
                case Done(text=text, language=language):
                    self._language = language or self._language
                    self._say_final(self._said(text))
                    if not self._is_ending:
                        raise EngineLost("the engine has ended an utterance by itself")
                    self._is_done.set()
                    return
        raise EngineLost("the engine closed the connection")

    def _said(self, text: str) -> stt.SpeechData:
        # The wire tells no times: an utterance lies between its first audio and the audio sent by now.
        return said(
            text,
            start_s=self._begin_bytes / BYTES_PER_S,
            end_s=self._sent_bytes / BYTES_PER_S,
            language=self._language,
        )
