"""A client of Deepgram's live transcription behind LiveKit's `stt.STT` (docs/adr/0004).

One stream is one WebSocket. Each 20 ms frame goes out at once; `flush` asks for what is held and gets exactly
one END_OF_SPEECH; a final's `end_time` never lies beyond the audio that it is about. Any failure ends the
stream with an APIError that has one of our faults as its cause: the pipeline keeps the audio and opens
another. An engine that takes everything and says nothing is the pipeline's to notice; what the engine says
without words comes as an interim without text, which tells that it lives.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import aiohttp
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr, stt

from agents.runtime.errors import EngineFault, EngineLost
from agents.stt import sockets
from agents.stt.deepgram.models import CLOSE_STREAM, FINALIZE, KEEP_ALIVE
from agents.stt.deepgram.protocol import (
    MAX_AUDIO_BYTES,
    Conversation,
    DeepgramOptions,
    Metadata,
    Results,
    language_of,
    listen_url,
    parse,
)
from agents.stt.dialing import OpenSession, open_session
from agents.stt.streams import SEND_TIMEOUT_S, EventStream, HttpSTT, said

KEEP_ALIVE_S = 5.0
"""Deepgram ends a stream after 10 s with nothing."""
PING_INTERVAL_S = 10.0
GOODBYE_S = 0.2
LEAST_SLEEP_S = 0.05
BAD_REQUEST = 400

logger = logging.getLogger(__name__)


class DeepgramSTT(HttpSTT):
    """`vocabulary` is asked at each stream's start."""

    def __init__(
        self,
        options: DeepgramOptions,
        *,
        open_http: OpenSession = open_session,
        vocabulary: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        super().__init__(open_http=open_http, interim_results=options.interim_results)
        self._options, self._vocabulary = options, vocabulary
        self._takes_words = True

    @property
    def model(self) -> str:
        """The model's name."""
        return self._options.model

    @property
    def provider(self) -> str:
        """For metrics."""
        return "deepgram"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "DeepgramStream":
        """`language` wins over that of the options."""
        return DeepgramStream(
            engine=self, options=self._options, language=language or "", conn_options=conn_options
        )

    async def listen(self, *, language: str, timeout_s: float) -> aiohttp.ClientWebSocketResponse:
        """An open stream. Raises EngineRefused, EngineFull, EngineLost."""
        words = self._vocabulary() if self._takes_words else ()
        try:
            return await self.connect(
                listen_url(self._options, language=language, vocabulary=words),
                headers=self._options.headers,
                timeout_s=timeout_s,
                ping_interval_s=PING_INTERVAL_S,
            )
        except EngineFault as fault:
            if fault.status == BAD_REQUEST and words:
                # It may be the words, some of which anybody in the room chose: captions matter more.
                self._takes_words = False
                logger.warning("an engine is given no vocabulary any more", extra={"engine": "deepgram"})
            raise
        except ValueError as error:  # of an address that cannot be taken apart
            raise EngineLost("the engine cannot be reached") from error


class DeepgramStream(EventStream):
    """One socket's worth of audio."""

    def __init__(
        self, *, engine: DeepgramSTT, options: DeepgramOptions, language: str, conn_options: APIConnectOptions
    ) -> None:
        super().__init__(engine=engine, conn_options=conn_options)
        self._engine, self._options, self._asked_language = engine, options, language
        self._language = language_of(language or options.language)
        self._conversation = Conversation()
        self._patience: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._sending_since: float | None = None
        self._is_closing = False

    async def _converse(self) -> None:
        socket = await self._engine.listen(
            language=self._asked_language, timeout_s=self._conn_options.timeout
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen(socket), name="deepgram listen")
                keeping = tasks.create_task(self._keep_alive(socket), name="deepgram keep alive")
                await self._speak(socket)
                await self._finish(socket, listening)
                keeping.cancel()
        finally:
            self._end_patience()
            if not (self._is_closing or socket.closed):  # cut off: the engine need not wait for more
                with contextlib.suppress(EngineLost, TimeoutError):
                    async with asyncio.timeout(GOODBYE_S):
                        await self._send(socket, CLOSE_STREAM)
            await sockets.end(socket)

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the input has ended."""
        async for item in self._input_ch:
            audio = []
            size_bytes = 0
            while isinstance(item, rtc.AudioFrame):
                audio.append(bytes(item.data))
                size_bytes += len(audio[-1])
                if size_bytes >= MAX_AUDIO_BYTES or self._input_ch.empty():
                    break
                item = self._input_ch.recv_nowait()
            if size_bytes:
                self._conversation.audio(size_bytes)
                await self._send(socket, b"".join(audio))
            if not isinstance(item, rtc.AudioFrame):
                await self._flush(socket)

    async def _flush(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        if self._conversation.flush():
            await self._send(socket, FINALIZE)
        elif not self._conversation.waits:
            self._end_speech()  # nothing to finalise: every flush gets its answer
        self._watch_patience()

    async def _finish(self, socket: aiohttp.ClientWebSocketResponse, listening: asyncio.Task[None]) -> None:
        """No more audio will come: wait for the rest of the words."""
        self._is_closing = True
        await self._send(socket, CLOSE_STREAM)
        await asyncio.wait({listening}, timeout=self._options.close_timeout_s)
        if not listening.done():
            if self._conversation.waits:
                raise EngineLost("the engine does not finish")
            listening.cancel()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: bytes | str) -> None:
        # A timeout for each frame would cost more than the frame; `_keep_alive` sees a send that waits.
        self._sent_at = self._sending_since = asyncio.get_running_loop().time()
        try:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        except (aiohttp.ClientError, OSError) as error:
            raise EngineLost("the engine does not take audio") from error
        finally:
            self._sending_since = None

    async def _keep_alive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """While there is no audio. Raises EngineLost when a send comes to no end."""
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        while True:
            await asyncio.sleep(max(LEAST_SLEEP_S, self._sent_at + KEEP_ALIVE_S - loop.time()))
            if self._sending_since is not None:
                if loop.time() - self._sending_since >= SEND_TIMEOUT_S:
                    raise EngineLost("the engine does not take audio")
            elif loop.time() - self._sent_at >= KEEP_ALIVE_S and not self._is_closing:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._send(socket, KEEP_ALIVE)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                break
            heard = parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
            if heard is None:
                self._drop()
            elif isinstance(heard, Results):
                self._say(heard)
            elif isinstance(heard, Metadata) and self._is_closing:
                self._end_speeches(self._conversation.closed())
        if self._conversation.waits or not self._is_closing:
            raise EngineLost("the engine closed the connection")

    def _say(self, results: Results) -> None:
        self._require_reader()
        answered = self._conversation.heard(results)
        if results.is_final and results.text:
            self._say_final(self._said(results))
        else:
            self._say_interim(self._said(results))
        if answered:
            self._end_patience()
            self._end_speeches(answered)
        self._watch_patience()

    def _said(self, results: Results) -> stt.SpeechData:
        return said(
            results.text,
            start_s=min(results.first_s, self._conversation.sent_s),
            end_s=min(results.last_s, self._conversation.sent_s),
            language=results.language or self._language,
        )

    def _end_speeches(self, times: int) -> None:
        for _ in range(times):
            self._end_speech()

    def _watch_patience(self) -> None:
        if not self._conversation.is_patience_due:
            self._end_patience()
        elif self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(
                self._options.answer_timeout_s, self._stop_waiting
            )

    def _stop_waiting(self) -> None:
        self._patience = None
        self._end_speeches(self._conversation.patience_ended())
        self._watch_patience()

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
