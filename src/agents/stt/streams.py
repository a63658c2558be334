"""What engines' streams have in common: audio that waits within bounds, events that never pile up, faults of ours.

A stream tries nothing again and keeps no audio: any failure ends
it with an APIError that has one of our faults as its cause, and whoever holds the audio opens another.
"""

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import NOT_GIVEN, APIConnectOptions, LanguageCode, NotGivenOr, stt, utils

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import EngineLost
from agents.stt import sockets
from agents.stt.dialing import OpenSession
from agents.stt.faults import fault_of, faults_as_api_errors
from agents.stt.wire import plain

BYTES_PER_S = SAMPLE_RATE_HZ * 2
MAX_PIECE_BYTES = BYTES_PER_S // 5
"""0.2 s: what has piled up goes in fewer messages, while live audio goes frame by frame."""
MAX_HELD_BYTES = BYTES_PER_S * 45
"""Half as much again as the pipeline keeps of audio that no final has confirmed."""
MAX_UNREAD_EVENTS = 500
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""aiohttp ends a connection over a larger message; what is useless up to here is only dropped."""
SEND_TIMEOUT_S = 5.0
REASON_WITHIN_S = 0.2
"""An engine that takes no more has often said why just before."""
ANSWER_TIMEOUT_S = 10.0
"""For the last words of an utterance; longer than the pipeline's own patience, which usually ends first."""

logger = logging.getLogger(__name__)


class StreamingSTT(stt.STT[str]):
    """An engine that streams and does nothing else."""

    def __init__(self, *, interim_results: bool = True) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True,
                interim_results=interim_results,
                offline_recognize=False,
                manual_flush=True,
            )
        )

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        raise NotImplementedError("this engine only streams")


class HttpSTT(StreamingSTT):
    """Streams share one HTTP session, made when it is first wanted and closed by `aclose`."""

    def __init__(self, *, open_http: OpenSession, interim_results: bool = True) -> None:
        super().__init__(interim_results=interim_results)
        self._open_http = open_http
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """The shared session."""
        if self._http is None:
            self._http = self._open_http()
        return self._http

    async def aclose(self) -> None:
        """After all streams have been closed."""
        if self._http is not None:
            await self._http.close()

    async def connect(
        self, url: str, *, headers: dict[str, str], timeout_s: float, ping_interval_s: float | None
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket. Raises EngineRefused, EngineFull, EngineLost."""
        dial = self._dial(url, headers=headers, ping_interval_s=ping_interval_s)
        try:
            return await sockets.dialled(dial, within_s=timeout_s)
        except TimeoutError:
            raise EngineLost("the engine cannot be reached") from None

    async def _dial(
        self, url: str, *, headers: dict[str, str], ping_interval_s: float | None
    ) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self.http.ws_connect(
                url, headers=headers, heartbeat=ping_interval_s, max_msg_size=MAX_MESSAGE_BYTES
            )
        except aiohttp.ClientResponseError as error:
            fault = fault_of(status=error.status, headers=error.headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EngineLost("the engine cannot be reached") from error
        # Raised out here: aiohttp's error holds the request's headers, and the key is one of them.
        raise fault


class EventStream(stt.RecognizeStream):
    """Of a reader who is behind no interim but the newest is kept; times are seconds of the audio that it was given."""

    def __init__(
        self, *, engine: StreamingSTT, conn_options: APIConnectOptions, sample_rate: int = SAMPLE_RATE_HZ
    ) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=sample_rate)
        self._unread_events = 0
        self._interim: stt.SpeechEvent | None = None
        """It waits for the reader."""
        self.dropped_messages = 0
        """What the engine sent that could not be used."""

    async def __anext__(self) -> stt.SpeechEvent:
        if self._interim is not None and not self._unread_events and not self._event_ch.closed:
            self._send_event(self._interim)
        event = await super().__anext__()
        self._unread_events -= 1
        return event

    async def _run(self) -> None:
        with faults_as_api_errors():
            await self._converse()

    @abstractmethod
    async def _converse(self) -> None:
        """Until the input has ended and every flush has had its END_OF_SPEECH. Raises EngineFault."""

    def _say_interim(self, said: stt.SpeechData) -> None:
        """All words of the segment so far; without any it is a sign of life."""
        if said.text or self._interim is None:
            self._interim = stt.SpeechEvent(type=stt.SpeechEventType.INTERIM_TRANSCRIPT, alternatives=[said])
            if not self._unread_events:
                self._send_event(self._interim)

    def _say_final(self, said: stt.SpeechData) -> None:
        """Its `end_time` confirms the audio before; without words there is nothing to say."""
        if said.text:
            self._send_event(stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said]))

    def _end_speech(self) -> None:
        self._send_event(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))

    def _require_reader(self) -> None:
        """Raises EngineLost when nobody has read for too long."""
        if self._unread_events >= MAX_UNREAD_EVENTS:
            raise EngineLost("the engine says more than can be read")

    def _send_event(self, event: stt.SpeechEvent) -> None:
        self._interim = None  # what comes after it is newer
        self._unread_events += 1
        self._event_ch.send_nowait(event)

    def _drop(self) -> None:
        self.dropped_messages += 1
        if self.dropped_messages == 1:
            logger.warning("an engine sent what cannot be used", extra={"engine": self._stt.provider})


class EngineStream(EventStream):
    """Its audio waits here, joined and within a bound, until `_converse` takes it from `_pieces`."""

    def __init__(self, *, engine: StreamingSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(engine=engine, conn_options=conn_options)
        self._held: deque[bytes | None] = deque()  # None: a flush
        self._held_bytes = 0
        self._has_held = asyncio.Event()
        self._has_all = False

    async def _run(self) -> None:
        with faults_as_api_errors():
            async with asyncio.TaskGroup() as tasks:
                taking = tasks.create_task(self._take(), name="take audio")
                await self._converse()
                taking.cancel()

    def _send_event(self, event: stt.SpeechEvent) -> None:
        self._require_reader()
        super()._send_event(event)

    async def _take(self) -> None:
        """LiveKit's own queue knows no bound. Raises EngineLost."""
        async for item in self._input_ch:
            pcm = bytes(item.data) if isinstance(item, rtc.AudioFrame) else None
            self._held_bytes += len(pcm or b"")
            if self._held_bytes > MAX_HELD_BYTES:
                raise EngineLost("the engine is too far behind")
            self._held.append(pcm)
            self._has_held.set()
        self._has_all = True
        self._has_held.set()

    async def _pieces(self) -> AsyncIterator[bytes | None]:
        """The input: audio, what has piled up joined; None for each flush."""
        while True:
            while self._held:
                yield self._next_piece()
            if self._has_all:
                return
            self._has_held.clear()
            await self._has_held.wait()

    def _next_piece(self) -> bytes | None:
        pcm = self._held.popleft()
        while pcm is not None and len(pcm) < MAX_PIECE_BYTES and self._held and self._held[0] is not None:
            pcm += self._held.popleft() or b""
        self._held_bytes -= len(pcm or b"")
        return pcm


def said(text: str, *, start_s: float, end_s: float, language: str) -> stt.SpeechData:
    """Words, and where they are in the stream's audio."""
    return stt.SpeechData(
        text=plain(text),
        start_time=start_s,
        end_time=end_s,
        language=LanguageCode(language),
    )


async def talk(
    socket: aiohttp.ClientWebSocketResponse,
    *,
    listening: Coroutine[Any, Any, None],
    speaking: Coroutine[Any, Any, None],
) -> None:
    """Until `speaking` has ended well, or one of them has failed; the socket has ended then, with a goodbye.

    Where both fail, what the engine said is the reason.
    """
    listener = asyncio.create_task(listening, name="listen to an engine")
    speaker = asyncio.create_task(speaking, name="speak to an engine")
    told = None
    try:
        await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        if speaker.done():
            is_well = speaker.exception() is None
            await asyncio.wait({listener}, timeout=0.0 if is_well else REASON_WITHIN_S)
        elif listener.exception() is None:
            await asyncio.wait({speaker})
        told = listener.exception() if listener.done() else None
    finally:
        speaker.cancel()
        # The listener ends with the socket: after a receive that was cancelled, aiohttp waits for no goodbye.
        await sockets.end(socket)
        await asyncio.wait({listener, speaker})
        # What the listener makes of the end that we have made is no reason.
        _, failed = (None if task.cancelled() else task.exception() for task in (listener, speaker))
    if speaker.cancelled() or failed:
        raise told or failed or EngineLost("the engine closed the connection")


async def send(socket: aiohttp.ClientWebSocketResponse, line: str) -> None:
    """Raises EngineLost."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_str(line)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineLost("the engine does not take audio") from error
