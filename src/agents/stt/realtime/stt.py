"""A client of `/v1/realtime` behind LiveKit's `stt.STT`: our speech server and vLLM.

One stream is one WebSocket. It begins at the first audio; `flush` ends an utterance; each utterance gives
interims, one final and an END_OF_SPEECH, which comes even when nothing was said. Any failure ends the stream
with an APIError that has one of our errors as its cause: the pipeline keeps the audio and opens another.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

import aiohttp
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import EngineFull, EngineLost, EngineRefused, TheirFault
from agents.stt.realtime.models import CODE_CAPACITY, REFUSAL_CODES
from agents.stt.realtime.protocol import (
    SAMPLE_BYTES,
    Conversation,
    Delta,
    Done,
    Failed,
    Heard,
    Turn,
    parse,
    session_update,
)

REST_AFTER_DONE_S = 0.05
MAX_MESSAGE_BYTES = 256 * 1024
PING_INTERVAL_S = 10.0
CLOSE_TIMEOUT_S = 1.0
WATCH_INTERVAL_S = 0.25
BYTES_PER_S = SAMPLE_RATE_HZ * SAMPLE_BYTES


@dataclass(frozen=True, kw_only=True)
class RealtimeOptions:
    """Where the server is and how patient to be; `model` empty: the first one the server lists."""

    base_url: str
    model: str = ""
    api_key: str = field(default="", repr=False)
    done_timeout_s: float = 8.0
    """From the end of an utterance to its `done`, or to any word of it."""
    silence_timeout_s: float = 10.0
    """A generation that is fed but says nothing for so long is dead."""

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


class RealtimeSTT(stt.STT[str]):
    """Streams share one HTTP session, made at the first stream and closed by `aclose`."""

    def __init__(self, options: RealtimeOptions) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, offline_recognize=False, manual_flush=True
            )
        )
        self._options = options
        self._http: aiohttp.ClientSession | None = None
        self._model = options.model

    @property
    def model(self) -> str:
        """The model's name, once known."""
        return self._model or "unknown"

    @property
    def provider(self) -> str:
        """For metrics."""
        return "realtime"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "RealtimeStream":
        """The wire has no language: it is the model's."""
        return RealtimeStream(
            engine=self, options=self._options, language=language or "", conn_options=conn_options
        )

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
        """A socket whose model is chosen. Raises EngineLost, EngineRefused."""
        if self._http is None:
            self._http = aiohttp.ClientSession(headers=self._options.headers)
        try:
            async with asyncio.timeout(timeout_s):
                if not self._model:
                    self._model = await self._first_model(self._http)
                socket = await self._http.ws_connect(
                    f"{self._options.base_url}/v1/realtime",
                    heartbeat=PING_INTERVAL_S,
                    max_msg_size=MAX_MESSAGE_BYTES,
                )
                await socket.send_str(session_update(self._model))
                return socket
        except aiohttp.ClientResponseError as error:
            raise _refusal(error.status) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineLost("the engine cannot be reached") from error

    async def _first_model(self, http: aiohttp.ClientSession) -> str:
        async with http.get(f"{self._options.base_url}/v1/models", raise_for_status=True) as answer:
            try:
                return str((await answer.json())["data"][0]["id"])
            except (ValueError, LookupError, TypeError) as error:
                raise EngineLost("the engine lists no model") from error


class RealtimeStream(stt.RecognizeStream):
    """One socket's worth of utterances."""

    def __init__(
        self, *, engine: RealtimeSTT, options: RealtimeOptions, language: str, conn_options: APIConnectOptions
    ) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._engine, self._options = engine, options
        self._language = LanguageCode(language)
        self._conversation = Conversation()
        self._sending = asyncio.Lock()  # fair, so lines leave in the order in which they were decided
        self._is_done, self._has_heard = asyncio.Event(), asyncio.Event()
        self._turn_since: tuple[Turn, float] = (Turn.READY, 0.0)

    async def _run(self) -> None:
        try:
            await self._converse()
        except TheirFault as error:
            raise _api_error() from error
        except ExceptionGroup as group:
            faults, others = group.split(TheirFault)
            if faults is None or others is not None:
                raise
            raise _api_error() from faults.exceptions[0]

    async def _converse(self) -> None:
        socket = await self._engine.connect(timeout_s=self._conn_options.timeout)
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [
                    tasks.create_task(self._listen(socket), name="realtime listen"),
                    tasks.create_task(self._resume(socket), name="realtime resume"),
                    tasks.create_task(self._watch(), name="realtime watchdog"),
                ]
                await self._speak(socket)
                for task in others:
                    task.cancel()
        finally:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await socket.close()

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the input has ended and every utterance is done."""
        async for item in self._input_ch:
            async with self._sending:
                if isinstance(item, rtc.AudioFrame):
                    await self._send(socket, self._conversation.audio(bytes(item.data)))
                elif self._conversation.is_quiet:
                    self._emit(
                        stt.SpeechEventType.END_OF_SPEECH, ""
                    )  # nothing to end: every flush gets its answer
                else:
                    await self._send(socket, self._conversation.end_utterance())
        while not self._conversation.is_quiet:
            self._has_heard.clear()
            await self._has_heard.wait()

    async def _resume(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """After each `done`, a moment later, send what was held back."""
        while True:
            await self._is_done.wait()
            self._is_done.clear()
            await asyncio.sleep(REST_AFTER_DONE_S)
            async with self._sending:
                await self._send(socket, self._conversation.rested())

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, lines: list[str]) -> None:
        for line in lines:
            try:
                async with asyncio.timeout(self._options.done_timeout_s):
                    await socket.send_str(line)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise EngineLost("the engine does not take audio") from error

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT or (heard := parse(message.data)) is None:
                continue
            self._turn_since = (self._conversation.turn, asyncio.get_running_loop().time())
            self._conversation.heard(heard)
            self._say(heard)
            self._has_heard.set()
        raise EngineLost("the engine closed the connection")

    def _say(self, heard: Heard) -> None:
        if isinstance(heard, Failed):
            raise _failure(heard.code)
        if isinstance(heard, Delta):
            self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, self._conversation.text)
        elif isinstance(heard, Done):
            self._emit(stt.SpeechEventType.FINAL_TRANSCRIPT, heard.text)
            self._emit(stt.SpeechEventType.END_OF_SPEECH, "")
            self._is_done.set()

    def _emit(self, kind: stt.SpeechEventType, text: str) -> None:
        # The wire tells no times: an utterance lies between its first audio and the audio sent by now.
        said = stt.SpeechData(
            language=self._language,
            text=text,
            start_time=self._conversation.begin_bytes / BYTES_PER_S,
            end_time=self._conversation.sent_bytes / BYTES_PER_S,
        )
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[said]))

    async def _watch(self) -> None:
        """Raises EngineLost when an engine that owes us words says nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            turn = self._conversation.turn
            if turn is not self._turn_since[0]:
                self._turn_since = (turn, loop.time())
            patience_s = {
                Turn.GENERATING: self._options.silence_timeout_s,
                Turn.ENDING: self._options.done_timeout_s,
            }.get(turn)
            if patience_s is not None and loop.time() - self._turn_since[1] > patience_s:
                raise EngineLost("the engine has fallen silent")


def _api_error() -> APIConnectionError:
    # LiveKit's streams fail with an APIError; ours is its cause, so that the pipeline can tell why.
    return APIConnectionError("the engine's stream has failed", retryable=False)


def _refusal(status: int) -> TheirFault:
    if status in (401, 403, 404):
        return EngineRefused("the engine does not accept us")
    if status in (429, 503):
        return EngineFull("the engine has no room")
    return EngineLost("the engine cannot be reached")


def _failure(code: str) -> TheirFault:
    if code == CODE_CAPACITY:
        return EngineFull("the engine has no room")
    if code in REFUSAL_CODES:
        return EngineRefused("the engine does not know the model")
    return EngineLost("the engine failed")
