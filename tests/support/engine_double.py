"""An engine's plugin that does, in this process, what LiveKit's interface allows a plugin to do."""

from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
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

from agents.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ

Behaviour = Callable[["Stream"], Awaitable[None]]


class Stream(stt.RecognizeStream):
    def __init__(self, engine: stt.STT[str], behaviour: Behaviour, options: APIConnectOptions) -> None:
        super().__init__(stt=engine, conn_options=options, sample_rate=SAMPLE_RATE_HZ)
        self._behaviour = behaviour
        self.heard: list[np.ndarray] = []

    async def _run(self) -> None:
        await self._behaviour(self)

    @property
    def heard_s(self) -> float:
        return sum(map(len, self.heard)) / SAMPLE_RATE_HZ

    async def given(self) -> AsyncIterator[np.ndarray | None]:
        """Frame by frame; None: the speaker pauses."""
        async for item in self._input_ch:
            yield np.frombuffer(item.data, np.int16) if isinstance(item, rtc.AudioFrame) else None

    async def hear(self, seconds: float = FRAME_SAMPLES / SAMPLE_RATE_HZ) -> None:
        """Until there is so much audio."""
        while self.heard_s < seconds:
            item = await self._input_ch.recv()
            if isinstance(item, rtc.AudioFrame):
                self.heard.append(np.frombuffer(item.data, np.int16))

    async def transcribe(self) -> None:
        """A final for every utterance, until the input ends."""
        said_s = 0.0
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self.heard.append(np.frombuffer(item.data, np.int16))
                continue
            if self.heard_s > said_s:
                said_s = self.heard_s
                self.say("said", is_final=True, until_s=said_s)
            self.pause()

    def say(self, text: str, *, is_final: bool = False, since_s: float = 0.0, until_s: float = 0.1) -> None:
        kind = stt.SpeechEventType.FINAL_TRANSCRIPT if is_final else stt.SpeechEventType.INTERIM_TRANSCRIPT
        said = stt.SpeechData(language=LanguageCode("en"), text=text, start_time=since_s, end_time=until_s)
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[said]))

    def pause(self) -> None:
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))


class Engine(stt.STT[str]):
    """Its streams behave as told, in turn; the last behaviour stays."""

    def __init__(self, *behaviours: Behaviour) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._behaviours = list(behaviours)
        self.streams: list[Stream] = []
        self.languages: list[object] = []

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> Stream:
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        self.streams.append(Stream(self, behaviour, conn_options))
        self.languages.append(language)
        return self.streams[-1]

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


def failed(cause: Exception | None = None) -> APIConnectionError:
    error = APIConnectionError("it failed", retryable=False)
    error.__cause__ = cause
    return error
