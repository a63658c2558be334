"""WebSocket `/v1/realtime`: one session, one utterance after the other."""

import asyncio
import contextlib
import logging
import uuid
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from speech import models, protocol
from speech.engines.interface import Result
from speech.errors import DecoderLost, NoFreeDecoder, Refusal, RequestRefused, SpeechError
from speech.limits import (
    BYTES_PER_SECOND,
    CONNECTIONS_PER_SESSION,
    MAX_BUFFERED_BYTES,
    MAX_ERRORS,
    MAX_UTTERANCE_S,
    RESTING_CLIENT_S,
    RESULT_TIMEOUT_S,
    SEND_TIMEOUT_S,
    SILENT_CLIENT_S,
)
from speech.pool import Pool, Utterance

logger = logging.getLogger(__name__)

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_TOO_BIG = 1009
CLOSE_TRY_AGAIN_LATER = 1013

FULL = Refusal("capacity", "The server is full. Try again later.")
NOT_VALIDATED = Refusal("model_not_validated", "Send session.update first.")
NO_SUCH_MODEL = Refusal("model_not_found", "No such model.")
FAILED = Refusal("processing_error", "The utterance could not be transcribed.")
TOO_MUCH_WAITS = Refusal("invalid_audio", "Too much audio without a commit.")
TOO_LONG = Refusal("invalid_audio", "The utterance is too long.")
NOT_TEXT = Refusal("invalid_event", "Messages are JSON in text frames.")


class _Gone(Exception):
    """The client is not there any more."""


class AudioBuffer:
    """The audio of one utterance between the socket and its decoder; bounded."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._grown = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.is_ended = False

    @property
    def is_full(self) -> bool:
        return self._bytes >= MAX_BUFFERED_BYTES

    async def has_room(self) -> None:
        await self._has_room.wait()

    def append(self, pcm: bytes) -> None:
        self._waiting.append(pcm)
        self._bytes += len(pcm)
        self._grown.set()
        if self.is_full:
            self._has_room.clear()

    def end(self) -> None:
        self.is_ended = True
        self._grown.set()

    def drop(self) -> None:
        """Nobody takes from this buffer any more."""
        self._waiting.clear()
        self._bytes = 0
        self._has_room.set()

    async def take(self) -> bytes:
        """The next audio; empty at the end."""
        while not self._waiting and not self.is_ended:
            self._grown.clear()
            await self._grown.wait()
        if not self._waiting:
            return b""
        pcm = self._waiting.popleft()
        self._bytes -= len(pcm)
        if not self.is_full:
            self._has_room.set()
        return pcm


class RealtimeSession:
    def __init__(self, *, websocket: WebSocket, pool: Pool) -> None:
        self._websocket = websocket
        self._pool = pool
        self._sending = asyncio.Lock()
        self._is_validated = False
        self._buffer = AudioBuffer()
        self._is_generating = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._voice: tuple[float, ...] = ()
        self._errors = 0

    async def run(self) -> None:
        """Serve until the client has gone or is sent away."""
        try:
            await self._send(protocol.session_created(f"sess-{uuid.uuid4().hex}"))
            while True:
                await self._receive()
        except _Gone:
            return
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(RESTING_CLIENT_S):
                message = await self._websocket.receive()
        except TimeoutError:
            await self._close(CLOSE_GOING_AWAY)
            raise _Gone from None
        if message["type"] == "websocket.disconnect":
            raise _Gone
        try:
            if not isinstance(text := message.get("text"), str):
                raise RequestRefused(NOT_TEXT)
            await self._obey(protocol.parse(text))
        except RequestRefused as refused:
            await self._refuse(refused.refusal)

    async def _obey(self, event: protocol.ClientEvent) -> None:
        match event:
            case protocol.SessionUpdate():
                if event.model != models.MODEL:
                    raise RequestRefused(NO_SUCH_MODEL)
                self._is_validated = True
            case protocol.Append():
                await self._append(event.pcm)
            case protocol.Commit():
                if not self._is_validated:
                    raise RequestRefused(NOT_VALIDATED)
                if event.final:
                    self._buffer.end()
                else:
                    self._start_generation()

    async def _append(self, pcm: bytes) -> None:
        buffer = self._buffer
        if buffer.is_full and not buffer.is_ended:
            if not self._is_generating:
                raise RequestRefused(TOO_MUCH_WAITS)
            # The socket is not read meanwhile, so a client that sends faster than we decode is slowed down.
            await buffer.has_room()
        # Between the final commit and `done` it is thrown away, as by vLLM; and what an utterance that failed
        # meanwhile was waiting to hear is not the beginning of the next.
        if buffer is self._buffer and not buffer.is_ended:
            buffer.append(pcm)

    def _start_generation(self) -> None:
        if self._is_generating:
            logger.warning("commit ignored: an utterance is being transcribed")
            return
        self._is_generating = True
        task = asyncio.create_task(self._generate(), name="generation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _generate(self) -> None:
        with contextlib.suppress(_Gone):
            try:
                result = await self._result()
            except NoFreeDecoder:
                await self._send_away(FULL, CLOSE_TRY_AGAIN_LATER)
            except RequestRefused as refused:
                await self._send_away(refused.refusal, CLOSE_TOO_BIG)
            except DecoderLost:
                await self._refuse(FAILED)
            else:
                self._voice = result.voice
                await self._send(protocol.transcription_done(result.text))

    async def _result(self) -> Result:
        """However it ends the session is idle then, before the client hears of it: what a client sends once it
        has read `done` belongs to the next utterance, and an `append` that waits for room must not wait for ever."""
        try:
            async with self._pool.utterance(voice=self._voice) as utterance:
                return await self._transcribe(utterance)
        finally:
            self._buffer.drop()
            self._buffer = AudioBuffer()
            self._is_generating = False

    async def _transcribe(self, utterance: Utterance) -> Result:
        feeding = asyncio.create_task(self._feed(utterance, self._buffer), name="feed")
        try:
            while not isinstance(event := await utterance.next(), Result):
                await self._send(protocol.transcription_delta(event))
            return event
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])

    async def _feed(self, utterance: Utterance, audio: AudioBuffer) -> None:
        try:
            await self._feed_all(utterance, audio)
            await asyncio.sleep(RESULT_TIMEOUT_S)
            utterance.hear(DecoderLost())
        except SpeechError as error:
            utterance.hear(error)

    async def _feed_all(self, utterance: Utterance, audio: AudioBuffer) -> None:
        fed_bytes = 0
        while True:
            try:
                async with asyncio.timeout(SILENT_CLIENT_S):
                    pcm = await audio.take()
            except TimeoutError:
                raise DecoderLost from None
            if not pcm:
                break
            fed_bytes += len(pcm)
            if fed_bytes > MAX_UTTERANCE_S * BYTES_PER_SECOND:
                raise RequestRefused(TOO_LONG)
            await utterance.feed(pcm)
        await utterance.finish()

    async def _refuse(self, refusal: Refusal) -> None:
        self._errors += 1
        if self._errors > MAX_ERRORS:
            await self._send_away(refusal, CLOSE_POLICY)
            raise _Gone
        await self._send(protocol.error(refusal))

    async def _send_away(self, refusal: Refusal, close_code: int) -> None:
        await self._send(protocol.error(refusal))
        await self._close(close_code)

    async def _close(self, code: int) -> None:
        async with self._sending:
            await close(self._websocket, code)

    async def _send(self, text: str) -> None:
        """Raises _Gone also for a client that does not read."""
        try:
            async with self._sending, asyncio.timeout(SEND_TIMEOUT_S):
                if self._websocket.application_state is not WebSocketState.CONNECTED:
                    raise _Gone
                await self._websocket.send_text(text)
        except (WebSocketDisconnect, TimeoutError):
            raise _Gone from None


class Door:
    """Lets as many connections in as there is room for."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool
        self._inside = 0

    async def open(self, websocket: WebSocket) -> None:
        await websocket.accept()
        if self._inside >= self._pool.sessions * CONNECTIONS_PER_SESSION:
            await turn_away(websocket)
            return
        self._inside += 1
        try:
            await RealtimeSession(websocket=websocket, pool=self._pool).run()
        finally:
            self._inside -= 1


async def turn_away(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await websocket.send_text(protocol.error(FULL))
    await close(websocket, CLOSE_TRY_AGAIN_LATER)


async def close(websocket: WebSocket, code: int) -> None:
    """Bounded, and no matter if the client has closed first."""
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await websocket.close(code)
