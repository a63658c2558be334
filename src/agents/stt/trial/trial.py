"""The clip goes to the engine as speech does, in real time; its words come back, or the reason why none did."""

import asyncio
import contextlib
from collections.abc import Awaitable

from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from agents.audio.pcm import FRAME_MS, SAMPLE_RATE_HZ, Frame
from agents.runtime.errors import EngineOutOfBounds, NotInstalled
from agents.stt.dialing import DialingRules
from agents.stt.registry import EngineDefaults, engine_of
from agents.stt.trial.clip import LANGUAGE, Clip, read_clip
from agents.stt.trial.reasons import result_of
from agents.stt.trial.words import word_error_rate
from contract.engines import EngineSetup, EngineTestOutcome, EngineTestResult

CONNECT_TIMEOUT_S = 3.0
MORE_WORDS_S = 2.0
"""How long there may be more after a final, once all has been said: not every engine's stream ends by itself."""
CLOSE_TIMEOUT_S = 0.5
WRONG_WORDS_FROM = 0.6
"""A rate of wrong words that no engine reaches that hears this clip in its own language."""
MAX_WORDS_CHARS = 1000


async def try_engine(
    setup: EngineSetup, *, language: str, defaults: EngineDefaults, rules: DialingRules, within_s: float
) -> EngineTestOutcome:
    """Never raises for what an engine does; has ended, with all it opened, `within_s` and a moment later."""
    try:
        engine = engine_of(setup, defaults=defaults, rules=rules)
    except (NotInstalled, ImportError):
        return EngineTestOutcome(result=EngineTestResult.NOT_INSTALLED)
    except EngineOutOfBounds:
        return EngineTestOutcome(result=EngineTestResult.ADDRESS_REFUSED)
    except Exception:  # noqa: BLE001 - a plugin may raise anything for a setup that it cannot use
        return EngineTestOutcome(result=EngineTestResult.WRONG_OPTIONS)
    try:
        return await _Trial(engine, clip=read_clip(), language=language, within_s=within_s).run()
    finally:
        await _closed(engine.aclose())


class _Trial:
    def __init__(self, engine: stt.STT[str], *, clip: Clip, language: str, within_s: float) -> None:
        self._engine, self._clip, self._language = engine, clip, language
        self._loop = asyncio.get_running_loop()
        self._patience = asyncio.timeout(within_s)
        self._said_at = self._heard_at = 0.0
        self._has_said_all = False
        self._words: list[str] = []

    async def run(self) -> EngineTestOutcome:
        try:
            async with self._patience:
                await self._converse()
        except Exception as error:  # noqa: BLE001 - an engine's plugin may raise anything, and each has its reason
            if not self._patience.expired():
                return EngineTestOutcome(result=result_of(error))
        return self._outcome()

    async def _converse(self) -> None:
        stream = self._engine.stream(
            language=self._language, conn_options=APIConnectOptions(max_retry=0, timeout=CONNECT_TIMEOUT_S)
        )
        speaking = asyncio.create_task(self._speak(stream), name="trial's speech")
        try:
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives:
                    self._hear(event.alternatives[0].text)
        finally:
            speaking.cancel()
            await asyncio.wait({speaking})
            await _closed(stream.aclose())

    async def _speak(self, stream: stt.RecognizeStream) -> None:
        began = self._loop.time()
        # RuntimeError is LiveKit's, for a stream that has just failed: whoever listens to it is about to hear why.
        with contextlib.suppress(RuntimeError):
            for number, frame in enumerate(self._clip.frames):
                await asyncio.sleep(began + number * FRAME_MS / 1000 - self._loop.time())
                stream.push_frame(_audio_frame(frame))
                if number < self._clip.speech_ends_at:
                    self._said_at = self._loop.time()
            stream.flush()
            stream.end_input()
        self._has_said_all = True
        if self._words:
            self._wait_for_more()

    def _hear(self, text: str) -> None:
        if text.strip():
            self._words.append(text.strip())
            self._heard_at = self._loop.time()
            if self._has_said_all:
                self._wait_for_more()

    def _wait_for_more(self) -> None:
        ends_at = self._patience.when()
        assert ends_at is not None
        self._patience.reschedule(min(ends_at, self._loop.time() + MORE_WORDS_S))

    def _outcome(self) -> EngineTestOutcome:
        """In another language than the clip's, wrong words are right."""
        words = " ".join(self._words)[:MAX_WORDS_CHARS]
        if not words:
            return EngineTestOutcome(result=EngineTestResult.SILENT)
        rate = word_error_rate(self._clip.words, words) if self._language == LANGUAGE else None
        is_wrong = rate is not None and rate >= WRONG_WORDS_FROM
        return EngineTestOutcome(
            result=EngineTestResult.WRONG_WORDS if is_wrong else EngineTestResult.OK,
            words=words,
            word_error_rate=rate,
            latency_ms=max(0, round((self._heard_at - self._said_at) * 1000)),
        )


async def _closed(closing: Awaitable[None]) -> None:
    """What an engine makes of its end is no part of the test."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await closing


def _audio_frame(frame: Frame) -> rtc.AudioFrame:
    return rtc.AudioFrame(
        data=frame.tobytes(), sample_rate=SAMPLE_RATE_HZ, num_channels=1, samples_per_channel=frame.size
    )
