"""A client of ElevenLabs' realtime transcription behind LiveKit's `stt.STT` (docs/adr/0008).

One stream is one WebSocket. `flush` commits, and the answer to it gives a final and exactly one END_OF_SPEECH.
"""

import asyncio
from collections.abc import Callable

import aiohttp
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from agents.runtime.errors import EngineLost
from agents.stt.dialing import OpenSession, open_session
from agents.stt.elevenlabs.protocol import (
    Committed,
    Conversation,
    ElevenLabsOptions,
    Failed,
    Heard,
    Partial,
    keyterms_of,
    language_of,
    parse,
    realtime_url,
)
from agents.stt.faults import fault_of
from agents.stt.streams import ANSWER_TIMEOUT_S, EngineStream, HttpSTT, said, send, talk


class ElevenLabsSTT(HttpSTT):
    """`vocabulary` is asked at each stream's start."""

    def __init__(
        self,
        options: ElevenLabsOptions,
        *,
        open_http: OpenSession = open_session,
        vocabulary: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        super().__init__(open_http=open_http)
        self.options, self.vocabulary = options, vocabulary

    @property
    def model(self) -> str:
        """The model's name."""
        return self.options.model

    @property
    def provider(self) -> str:
        """For metrics."""
        return "elevenlabs"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "ElevenLabsStream":
        """Without a language it is detected, utterance by utterance."""
        return ElevenLabsStream(engine=self, language=language or "", conn_options=conn_options)


class ElevenLabsStream(EngineStream):
    """One socket's worth of audio."""

    def __init__(self, *, engine: ElevenLabsSTT, language: str, conn_options: APIConnectOptions) -> None:
        super().__init__(engine=engine, conn_options=conn_options)
        self._engine = engine
        self._asked, self._language = language_of(language), language
        self._detects_language = not self._asked
        self._conversation = Conversation()
        self._is_answered = asyncio.Event()

    async def _converse(self) -> None:
        options = self._engine.options
        socket = await self._engine.connect(
            realtime_url(options, language=self._asked, keyterms=keyterms_of(self._engine.vocabulary())),
            headers=options.headers,
            timeout_s=self._conn_options.timeout,
            ping_interval_s=None,  # Scribe is said not to answer pings; a dead line is the pipeline's to notice
        )
        await talk(socket, listening=self._listen(socket), speaking=self._speak(socket))

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the input has ended and all of it is answered."""
        async for piece in self._pieces():
            line = self._conversation.flush() if piece is None else self._conversation.audio(piece)
            if line is not None:
                await send(socket, line)
            elif not self._conversation.waits:
                self._end_speech()  # nothing to commit: every flush gets its answer
        await self._last_words()

    async def _last_words(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while self._conversation.waits:
                    self._is_answered.clear()
                    await self._is_answered.wait()
        except TimeoutError as error:
            raise EngineLost("the engine does not finish") from error

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                break
            heard = parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
            if heard is None:
                self._drop()
            else:
                self._hear(heard)
        raise EngineLost("the engine closed the connection")

    def _hear(self, heard: Heard) -> None:
        if isinstance(heard, Failed):
            raise fault_of(status=heard.status, headers=None)
        if isinstance(heard, Partial):
            about = self._conversation.current
            self._say_interim(
                said(heard.text, start_s=about.start_s, end_s=about.end_s, language=self._language)
            )
        elif isinstance(heard, Committed) and heard.is_second_copy is self._detects_language:
            about = self._conversation.committed()
            self._say_final(
                said(
                    heard.text,
                    start_s=about.start_s,
                    end_s=about.end_s,
                    language=heard.language or self._language,
                )
            )
            for _ in range(about.flushes):
                self._end_speech()
            self._is_answered.set()
