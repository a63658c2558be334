"""A client of Riva's streaming recognition behind LiveKit's `stt.STT` (docs/adr/0008).

Each stream has a channel of its own and each utterance a call on it; both belong to the event loop, there is no thread
to wait for. While the last words of one utterance are awaited, the audio of the next one waits in the stream's input.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import grpc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr, stt
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc

from agents.runtime.errors import EngineLost
from agents.stt.nvidia.call import Call
from agents.stt.nvidia.protocol import (
    NvidiaOptions,
    Words,
    audio_request,
    first_request,
    heard,
    language_of,
)
from agents.stt.streams import (
    ANSWER_TIMEOUT_S,
    BYTES_PER_S,
    EngineStream,
    StreamingSTT,
    said,
)

CHANNEL_OPTIONS = (
    # Whoever has the audio decides on the next attempt: nothing here waits or tries again by itself.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config_disable_resolution", 1),
    # As with the engines that we dial over HTTP.
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
CLOSE_TIMEOUT_S = 1.0


class NvidiaSTT(StreamingSTT):
    """`vocabulary` is asked at the start of each utterance."""

    def __init__(self, options: NvidiaOptions, *, vocabulary: Callable[[], tuple[str, ...]] = tuple) -> None:
        super().__init__()
        self.options, self.vocabulary = options, vocabulary

    @property
    def model(self) -> str:
        """The model's name, when one was chosen."""
        return self.options.model or "unknown"

    @property
    def provider(self) -> str:
        """For metrics."""
        return "nvidia"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "NvidiaStream":
        """English, unless told otherwise."""
        return NvidiaStream(engine=self, language=language or "", conn_options=conn_options)

    def channel(self) -> grpc.aio.Channel:
        """One that has not dialled yet."""
        target = f"dns:///{self.options.target}"  # else `unix:1` would be a file
        if self.options.use_tls:
            return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=CHANNEL_OPTIONS)
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


class NvidiaStream(EngineStream):
    """One utterance after the other."""

    def __init__(self, *, engine: NvidiaSTT, language: str, conn_options: APIConnectOptions) -> None:
        super().__init__(engine=engine, conn_options=conn_options)
        self._engine = engine
        self._language = language_of(language)
        self._begin_bytes = self._sent_bytes = 0
        self._settled_s = 0.0
        self._open_words: Words | None = None  # shown and not yet in a final
        self._is_ending = False

    async def _converse(self) -> None:
        channel = self._engine.channel()
        try:
            await self._connect(channel)
            recognise = riva_asr_pb2_grpc.RivaSpeechRecognitionStub(channel).StreamingRecognize
            pieces = self._pieces()
            async for piece in pieces:
                if piece is not None:
                    call = Call(recognise(metadata=self._engine.options.metadata))
                    await self._utterance(call, piece, pieces)
                self._end_speech()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await channel.close()

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        """Or fail at once: left alone, a channel would go on trying until somebody's patience ends."""
        try:
            async with asyncio.timeout(self._conn_options.timeout):
                while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        raise EngineLost("the engine cannot be reached")
                    await channel.wait_for_state_change(state)
        except TimeoutError as error:
            raise EngineLost("the engine cannot be reached") from error

    async def _utterance(self, call: Call, first: bytes, pieces: AsyncIterator[bytes | None]) -> None:
        """To the next flush; the gate makes one in a monologue too."""
        self._begin_bytes, self._settled_s = self._sent_bytes, self._sent_s
        self._open_words, self._is_ending = None, False
        opening = first_request(
            self._engine.options,
            language=self._language,
            vocabulary=self._engine.vocabulary(),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen(call), name="nvidia listen")
                await call.write(opening)
                await self._speak(call, first, pieces)
                await self._finish(call, listening)
        finally:
            call.cancel()

    async def _speak(self, call: Call, first: bytes, pieces: AsyncIterator[bytes | None]) -> None:
        await self._append(call, first)
        async for piece in pieces:
            if piece is None:
                return
            await self._append(call, piece)

    async def _append(self, call: Call, pcm: bytes) -> None:
        self._sent_bytes += len(pcm)
        await call.write(audio_request(pcm))

    async def _finish(self, call: Call, listening: asyncio.Task[None]) -> None:
        """No more audio will come: wait for the rest of the words."""
        self._is_ending = True
        await call.done_writing()
        await asyncio.wait({listening}, timeout=ANSWER_TIMEOUT_S)
        if not listening.done():
            raise EngineLost("the engine does not finish")

    async def _listen(self, call: Call) -> None:
        """Until the call has ended in order."""
        async for response in call.responses():
            self._hear(response)
        if not self._is_ending:
            raise EngineLost("the engine has ended an utterance by itself")
        if self._open_words is not None:
            self._say_final(self._said(self._open_words, end_s=self._sent_s))

    def _hear(self, response: riva_asr_pb2.StreamingRecognizeResponse) -> None:
        told = heard(response)
        for final in told.finals:
            words = self._said(final, end_s=self._settled_s)  # without times it confirms nothing
            self._say_final(words)
            self._settled_s = words.end_time
            if words.text:
                self._open_words = None
        if told.interim is not None:
            self._open_words = told.interim
            self._say_interim(self._said(told.interim, end_s=self._sent_s))

    @property
    def _sent_s(self) -> float:
        return self._sent_bytes / BYTES_PER_S

    def _said(self, words: Words, *, end_s: float) -> stt.SpeechData:
        """`end_s` where the engine does not say; its times are taken as far as they are within what it may speak of."""
        start = self._settled_s if words.start_s is None else self._within(words.start_s)
        end = end_s if words.end_s is None else self._within(words.end_s)
        return said(words.text, start_s=min(start, end), end_s=end, language=self._language)

    def _within(self, call_s: float) -> float:
        """A time of the call as one of the stream."""
        return min(max(self._begin_bytes / BYTES_PER_S + call_s, self._settled_s), self._sent_s)
