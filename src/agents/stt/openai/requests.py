"""A client of `POST /v1/audio/transcriptions` behind LiveKit's `stt.STT` (docs/adr/0007).

One stream is one speaker's utterances, one request after the other: an utterance each, or pieces of a long one, whose
words so far come as interims. `flush` gets exactly one END_OF_SPEECH, after the utterance's final; a final's
`end_time` is the end of the audio it was made of. A request that finds the server busy or broken is tried again, at
most three times; what fails for good ends the stream with an APIError that has one of our faults as its cause: the
pipeline keeps the audio. Audio waits for at most MAX_HELD_S.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

import aiohttp
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr, stt

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.runtime.errors import EngineLost
from agents.stt.dialing import OpenSession, open_session
from agents.stt.faults import faults_as_api_errors
from agents.stt.openai.options import OpenAIOptions
from agents.stt.openai.pieces import Gatherer, Piece
from agents.stt.openai.prompts import context_of
from agents.stt.openai.transcriptions import (
    Answer,
    Question,
    Reply,
    fields_of,
    wait_before_s,
    wav_of,
)
from agents.stt.streams import HttpSTT, said

MAX_HELD_S = 30.0
"""An engine that is slower than speech is given up then; the pipeline keeps no more either."""
MAX_REPLY_BYTES = 1024 * 1024


class Recovery:
    """All requests of one engine that wait for another try: an answer to any of them ends the wait of all.

    So the stream that a breaker lets through to find out whether the engine is back tells the others.
    """

    def __init__(self) -> None:
        self._is_back = asyncio.Event()

    def answered(self) -> None:
        """The engine works."""
        self._is_back.set()
        self._is_back = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """At most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_back.wait()


class OpenAISTT(HttpSTT):
    """`vocabulary` is asked at each stream's start."""

    def __init__(
        self,
        options: OpenAIOptions,
        *,
        provider: str = "openai",
        open_http: OpenSession = open_session,
        vocabulary: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        super().__init__(open_http=open_http)
        self._options, self._provider, self._vocabulary = options, provider, vocabulary
        self._recovery = Recovery()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._options.model

    @property
    def provider(self) -> str:
        """For metrics."""
        return self._provider

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "OpenAIStream":
        """`language` wins over that of the options."""
        return OpenAIStream(
            engine=self,
            options=self._options,
            language=language or self._options.language,
            vocabulary=self._vocabulary(),
            conn_options=conn_options,
        )

    async def ask(self, question: Question, *, connect_timeout_s: float) -> Answer:
        """Raises EngineRefused, EngineFull, EngineLost."""
        tries = 0
        while True:
            reply = await self._post(question, connect_timeout_s=connect_timeout_s)
            tries += 1
            if (fault := reply.fault) is None:
                answer = reply.answer(question)
                self._recovery.answered()
                return answer
            wait_s = wait_before_s(
                tries=tries, asked_s=fault.retry_after_s, options=self._options, jitter=random.random()
            )
            if wait_s is None or not reply.is_worth_another_try:
                raise fault
            await self._recovery.wait(wait_s)

    async def _post(self, question: Question, *, connect_timeout_s: float) -> Reply:
        form = aiohttp.FormData(quote_fields=False)
        for name, value in fields_of(question, self._options):
            form.add_field(name, value)
        form.add_field("file", wav_of(question.pcm), filename="speech.wav", content_type="audio/wav")
        try:
            async with self.http.post(
                self._options.url,
                data=form,
                headers=self._options.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=self._options.answer_timeout_s + question.audio_s, sock_connect=connect_timeout_s
                ),
            ) as answer:
                return Reply(status=answer.status, headers=answer.headers, body=await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise EngineLost("the engine cannot be reached") from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MAX_REPLY_BYTES:
            raise EngineLost("the engine does not answer as agreed")
    return bytes(body)


class OpenAIStream(stt.RecognizeStream):
    """One speaker's utterances, in order."""

    def __init__(
        self,
        *,
        engine: OpenAISTT,
        options: OpenAIOptions,
        language: str,
        vocabulary: tuple[str, ...],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=SAMPLE_RATE_HZ)
        self._engine, self._language, self._vocabulary = engine, language, vocabulary
        self._gatherer = Gatherer(piece_s=options.piece_s, sample_rate_hz=SAMPLE_RATE_HZ)
        self._has_more, self._is_over = asyncio.Event(), False
        self._said = ""
        """Of the utterance under way."""

    async def _run(self) -> None:
        with faults_as_api_errors():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="openai listen")
                tasks.create_task(self._answer(), name="openai answer")

    async def _listen(self) -> None:
        """Until the input has ended. Also while a request is out: what waits is bounded."""
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._gatherer.audio(bytes(item.data))
                if self._gatherer.held_s > MAX_HELD_S:
                    raise EngineLost("the engine does not keep up")
            else:
                self._gatherer.flush()
            self._has_more.set()
        self._is_over = True
        self._has_more.set()

    async def _answer(self) -> None:
        """Until the input has ended and all of it is answered."""
        while True:
            piece = self._gatherer.take()
            if piece is not None:
                await self._transcribe(piece)
            elif self._is_over:
                return
            else:
                self._has_more.clear()
                await self._has_more.wait()

    async def _transcribe(self, piece: Piece) -> None:
        answer = Answer(text="")
        if piece.pcm:
            question = Question(
                pcm=piece.pcm,
                language=self._language,
                vocabulary=self._vocabulary,
                context=context_of(self._said),
            )
            answer = await self._engine.ask(question, connect_timeout_s=self._conn_options.timeout)
        self._said = " ".join(part for part in (self._said, answer.text) if part)
        if not piece.ends:
            # Also without words: it tells that the engine lives.
            self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, piece, answer)
            return
        if self._said:
            self._emit(stt.SpeechEventType.FINAL_TRANSCRIPT, piece, answer)
        self._said = ""
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))

    def _emit(self, kind: stt.SpeechEventType, piece: Piece, answer: Answer) -> None:
        heard = said(
            self._said,
            start_s=piece.begins_s,
            end_s=piece.end_s,
            language=self._language or answer.language,
        )
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[heard]))
