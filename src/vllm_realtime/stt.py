"""A client of `/v1/realtime` behind LiveKit's `stt.STT`.

One stream is one WebSocket. `flush` ends an utterance, and so do the pauses that a VAD hears; each utterance gives
interims and one final, each flush exactly one END_OF_SPEECH, also when nothing was said. Any failure ends the
stream with one of our errors; who holds the audio decides what is said again. However a stream ends, the server
hears goodbye: connections that were merely cut have crashed vLLM.
"""

import asyncio
from collections.abc import Callable

import aiohttp
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    APIError,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
    vad,
)

from vllm_realtime import sockets
from vllm_realtime.errors import ServerLost, ServerRefused
from vllm_realtime.protocol import (
    BYTES_PER_S,
    MAX_HELD_BYTES,
    SAMPLE_RATE_HZ,
    STATUS_OF_CODE,
    Conversation,
    Created,
    Delta,
    Done,
    Failed,
    Heard,
    Step,
    Turn,
    parse,
    session_update,
)

MAX_UTTERANCE_S = 60.0
"""Of about 15 min that 16384 tokens hold; 2048 tokens hold 2.7 min."""
REST_AFTER_DONE_S = 0.05
ANSWER_TIMEOUT_S = 30.0
"""Between the end of an utterance and `done` a server that has nothing to say for so long is lost."""
MAX_MESSAGE_BYTES = 256 * 1024
PING_INTERVAL_S = 10.0
SEND_TIMEOUT_S = 8.0

OpenHttp = Callable[[], aiohttp.ClientSession]
KINDS = stt.SpeechEventType


def open_http() -> aiohttp.ClientSession:
    """Without a limit of connections."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


class STT(stt.STT[str]):
    """Streams share one HTTP session, made at the first stream and closed by `aclose`."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str = "",
        api_key: str = "",
        max_utterance_s: float = MAX_UTTERANCE_S,
        vad: vad.VAD | None = None,
        open_http: OpenHttp = open_http,
    ) -> None:
        """`base_url` as for any OpenAI-compatible server: `http://host:8000/v1`. `model` empty: the first one listed.

        `vad`: who flushes at pauses, for callers who do not. `max_utterance_s`: an utterance without a pause is ended
        there, because the model hears only so much in one piece.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, offline_recognize=False, manual_flush=True
            )
        )
        self._base_url, self._model = base_url.rstrip("/"), model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._open_http = open_http
        self._http: aiohttp.ClientSession | None = None
        self.max_utterance_s, self.vad = max_utterance_s, vad

    @property
    def model(self) -> str:
        """The model's name, once known."""
        return self._model or "unknown"

    @property
    def provider(self) -> str:
        """For metrics."""
        return "vllm"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "SpeechStream":
        """The wire has no language: the model hears which it is. `language` is only said of what it writes."""
        return SpeechStream(engine=self, language=language or "", conn_options=conn_options)

    async def aclose(self) -> None:
        """After all streams have been closed."""
        if self._http is not None:
            await self._http.close()

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        raise NotImplementedError("this engine only streams")

    async def connect(self, *, timeout_s: float) -> aiohttp.ClientWebSocketResponse:
        """A socket that was greeted and whose model is chosen. Raises ServerRefused, ServerLost."""
        try:
            return await sockets.dialled(self._dial(), within_s=timeout_s)
        except TimeoutError:
            raise ServerLost("the server does not answer") from None

    async def _dial(self) -> aiohttp.ClientWebSocketResponse:
        if self._http is None:
            self._http = self._open_http()
        try:
            if not self._model:
                self._model = await self._first_model(self._http)
            socket = await self._http.ws_connect(
                f"{self._base_url}/realtime",
                headers=self._headers,
                heartbeat=PING_INTERVAL_S,
                max_msg_size=MAX_MESSAGE_BYTES,
            )
            try:
                await _greeted(socket)
                await socket.send_str(session_update(self._model))
            except BaseException:
                await sockets.end(socket)
                raise
            return socket
        except aiohttp.ClientResponseError as error:
            retry_after = error.headers.get("Retry-After") if error.headers else None
            refused = ServerRefused("the server refuses", status_code=error.status, retry_after=retry_after)
        except (aiohttp.ClientError, OSError) as error:
            raise ServerLost("the server cannot be reached") from error
        # Raised out here: aiohttp's error holds the request's headers, and the key is one of them.
        raise refused

    async def _first_model(self, http: aiohttp.ClientSession) -> str:
        async with http.get(
            f"{self._base_url}/models", headers=self._headers, allow_redirects=False, raise_for_status=True
        ) as answer:
            try:
                return str((await answer.json())["data"][0]["id"])
            except (ValueError, LookupError, TypeError) as error:
                raise ServerLost("the server lists no model") from error


class SpeechStream(stt.RecognizeStream):
    """One socket's worth of utterances."""

    def __init__(self, *, engine: STT, language: str, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._engine, self._language = engine, LanguageCode(language)
        self._unread_events = 0
        # Held while the reader is behind: only the newest matters.
        self._interim: stt.SpeechEvent | None = None

    async def __anext__(self) -> stt.SpeechEvent:
        if self._interim is not None and not self._unread_events and not self._event_ch.closed:
            self._send_event(self._interim)
        event = await super().__anext__()
        self._unread_events -= 1
        return event

    async def _run(self) -> None:
        self._conversation = Conversation(
            max_utterance_bytes=round(self._engine.max_utterance_s * BYTES_PER_S)
        )
        self._sending = asyncio.Lock()  # fair, so lines leave in the order in which they were decided
        self._is_done, self._has_heard = asyncio.Event(), asyncio.Event()
        self._patience = asyncio.timeout(None)
        self._is_closing, self._interim = False, None
        socket = await self._engine.connect(timeout_s=self._conn_options.timeout)
        try:
            await self._converse(socket)
        finally:
            await sockets.end(socket)

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        voice = self._engine.vad.stream() if self._engine.vad else None
        listening = asyncio.create_task(self._listen(socket), name="realtime listen")
        speaking = {
            asyncio.create_task(self._speak(socket, voice), name="realtime speak"),
            asyncio.create_task(self._resume(socket), name="realtime resume"),
        }
        if voice is not None:
            speaking.add(asyncio.create_task(self._flush_at_pauses(socket, voice), name="realtime pauses"))
        try:
            async with self._patience:
                await asyncio.wait({listening, *speaking}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise ServerLost("the server has fallen silent") from None
        finally:
            self._is_closing = True
            for task in speaking:
                task.cancel()
            # It ends with the socket: after a receive that was cancelled, aiohttp waits for no goodbye.
            await sockets.end(socket)
            await asyncio.wait({listening, *speaking})
            if voice is not None:
                await voice.aclose()
            failures = [task.exception() for task in (listening, *speaking) if not task.cancelled()]
        for failure in filter(None, failures):  # what the server said of it goes first
            raise failure

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse, voice: vad.VADStream | None) -> None:
        """Until the input has ended and every utterance is done."""
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                async with self._sending:
                    await self._do(socket, self._conversation.audio(bytes(item.data)))
                if voice is not None:
                    voice.push_frame(item)
            else:
                await self._flush(socket)
            if self._conversation.held_bytes > MAX_HELD_BYTES:
                raise ServerLost("the server does not finish")
        while not self._conversation.is_quiet:
            self._has_heard.clear()
            await self._has_heard.wait()

    async def _flush(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with self._sending:
            await self._do(socket, self._conversation.flush())

    async def _flush_at_pauses(self, socket: aiohttp.ClientWebSocketResponse, voice: vad.VADStream) -> None:
        async for event in voice:
            if event.type is vad.VADEventType.END_OF_SPEECH:
                await self._flush(socket)

    async def _resume(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """After each `done`, a moment later, send what was held back."""
        while True:
            await self._is_done.wait()
            self._is_done.clear()
            await asyncio.sleep(REST_AFTER_DONE_S)
            async with self._sending:
                await self._do(socket, self._conversation.rested())
            self._has_heard.set()

    async def _do(self, socket: aiohttp.ClientWebSocketResponse, step: Step) -> None:
        if step.lines:
            self._wait_for_done()
        for line in step.lines:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_str(line)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ServerLost("the server does not take audio") from error
        self._end_speech(step)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT or (heard := parse(message.data)) is None:
                continue
            self._say(heard)
            self._wait_for_done()
            self._has_heard.set()
        if not self._is_closing:
            raise ServerLost("the server closed the connection")

    def _say(self, heard: Heard) -> None:
        talk = self._conversation
        match heard:
            case Failed():
                raise _failure(heard.code)
            case Delta() if talk.delta(heard.text):
                self._interim = self._event(KINDS.INTERIM_TRANSCRIPT, talk.text)
                if not self._unread_events:
                    self._send_event(self._interim)
            case Done():
                if (step := talk.done()) is None:
                    raise ServerLost("the server ended an utterance by itself")
                self._send_event(self._event(KINDS.FINAL_TRANSCRIPT, heard.text))
                self._end_speech(step)
                self._is_done.set()

    def _wait_for_done(self) -> None:
        is_ending = self._conversation.turn is Turn.ENDING
        if not (self._is_closing or self._patience.expired()):
            now = asyncio.get_running_loop().time()
            self._patience.reschedule(now + ANSWER_TIMEOUT_S if is_ending else None)

    def _event(self, kind: stt.SpeechEventType, text: str) -> stt.SpeechEvent:
        # The wire tells no times: an utterance lies between its first audio and the audio sent by now.
        said = stt.SpeechData(
            language=self._language,
            text=text,
            start_time=self._conversation.begin_bytes / BYTES_PER_S,
            end_time=self._conversation.sent_bytes / BYTES_PER_S,
        )
        return stt.SpeechEvent(type=kind, alternatives=[said])

    def _end_speech(self, step: Step) -> None:
        for _ in range(step.ended):
            self._send_event(stt.SpeechEvent(type=KINDS.END_OF_SPEECH))

    def _send_event(self, event: stt.SpeechEvent) -> None:
        self._interim = None  # what comes after it is newer
        self._unread_events += 1
        self._event_ch.send_nowait(event)


async def _greeted(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Until `session.created` has come. Raises ServerRefused, ServerLost."""
    async for message in socket:
        heard = parse(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
        if isinstance(heard, Created):
            return
        if isinstance(heard, Failed):
            raise _failure(heard.code)
    raise ServerLost("the server closed the connection")


def _failure(code: str) -> APIError:
    if (status := STATUS_OF_CODE.get(code)) is not None:
        return ServerRefused("the server refuses", status_code=status)
    return ServerLost("the server failed")
