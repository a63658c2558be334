"""A client of OpenAI's realtime transcription behind LiveKit's `stt.STT` (docs/adr/0007).

One stream is one WebSocket. Frames go out as they come; `flush` commits what was said and gets exactly one
END_OF_SPEECH, after the utterance's final; a final's `end_time` is the end of the audio it was made of. Every `error`
and every failed item ends the stream with an APIError that has one of our faults as its cause: the pipeline keeps the
audio and opens another, also when a session has lasted as long as it may. It also watches for an engine that falls
silent.
"""

import asyncio
from collections.abc import Callable

import aiohttp
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from agents.runtime.errors import EngineLost
from agents.stt.dialing import OpenSession, open_session
from agents.stt.openai.events import (
    MAX_APPEND_BYTES,
    SAMPLE_RATE_HZ,
    Aside,
    Conversation,
    Failed,
    Words,
    parse,
    session_update,
)
from agents.stt.openai.options import OpenAIRealtimeOptions
from agents.stt.streams import EventStream, HttpSTT, said, send, talk

PING_INTERVAL_S = 10.0


class OpenAIRealtimeSTT(HttpSTT):
    """`vocabulary` is asked at each stream's start."""

    def __init__(
        self,
        options: OpenAIRealtimeOptions,
        *,
        open_http: OpenSession = open_session,
        vocabulary: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        super().__init__(open_http=open_http)
        self._options, self._vocabulary = options, vocabulary

    @property
    def model(self) -> str:
        """The model's name."""
        return self._options.model

    @property
    def provider(self) -> str:
        """For metrics."""
        return "openai_realtime"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "OpenAIRealtimeStream":
        """`language` wins over that of the options."""
        spoken = language or self._options.language
        return OpenAIRealtimeStream(
            engine=self,
            options=self._options,
            language=spoken,
            update=session_update(self._options, language=spoken, vocabulary=self._vocabulary()),
            conn_options=conn_options,
        )


class OpenAIRealtimeStream(EventStream):
    """One session's worth of utterances."""

    def __init__(
        self,
        *,
        engine: OpenAIRealtimeSTT,
        options: OpenAIRealtimeOptions,
        language: str,
        update: str,
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(engine=engine, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._engine, self._options, self._language, self._update = engine, options, language, update
        self._conversation = Conversation(options)
        self._has_heard = asyncio.Event()

    async def _converse(self) -> None:
        socket = await self._engine.connect(
            self._options.url,
            headers=self._options.headers,
            timeout_s=self._conn_options.timeout,
            ping_interval_s=PING_INTERVAL_S,
        )
        await talk(socket, listening=self._listen(socket), speaking=self._speak(socket))

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """How to hear, then the input, until it has ended and all of it is answered."""
        await send(socket, self._update)
        async for item in self._input_ch:
            pcm = b""
            while isinstance(item, rtc.AudioFrame):
                pcm += bytes(item.data)
                if len(pcm) >= MAX_APPEND_BYTES or self._input_ch.empty():
                    break
                item = self._input_ch.recv_nowait()
            if pcm:
                await self._send(socket, self._conversation.audio(pcm))
            if not isinstance(item, rtc.AudioFrame):
                lines, words = self._conversation.flush()
                self._say(words)
                await self._send(socket, lines)
        await self._finish()

    async def _finish(self) -> None:
        """No more audio will come: wait for the rest of the words."""
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                while self._conversation.waits:
                    self._has_heard.clear()
                    await self._has_heard.wait()
        except TimeoutError:
            raise EngineLost("the engine does not finish") from None

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, lines: list[str]) -> None:
        for line in lines:
            await send(socket, line)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            heard = parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
            if heard is None:
                self._drop()
            elif isinstance(heard, Failed):
                raise heard.fault
            elif not isinstance(heard, Aside):
                self._say(self._conversation.heard(heard))
                self._has_heard.set()
        raise EngineLost("the engine closed the connection")

    def _say(self, all_words: list[Words]) -> None:
        for words in all_words:
            self._require_reader()
            heard = said(
                words.text,
                start_s=words.begins_s,
                end_s=words.end_s,
                language=self._language or words.language,
            )
            if words.is_final:
                self._say_final(heard)
                self._end_speech()
            else:
                self._say_interim(heard)
