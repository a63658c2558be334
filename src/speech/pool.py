"""Decoder processes: started once, lent out one utterance at a time, replaced when they die."""

import asyncio
import contextlib
import logging
import multiprocessing
import socket
from collections.abc import AsyncIterator, Coroutine
from multiprocessing.process import BaseProcess

from speech import decoding, wire
from speech.engines.interface import Result
from speech.errors import DecoderLost, NoFreeDecoder, SpeechError
from speech.limits import DECODER_TIMEOUT_S
from speech.wire import Kind

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
RESTART_PAUSE_S = 1.0
"""A decoder that dies at its start is not started over and over without a breath."""


class Utterance:
    """One utterance's hold on a decoder process."""

    def __init__(self, decoder: "_Decoder") -> None:
        self._decoder = decoder
        # Bounded by the utterance's length: a decoder gives out at most five deltas a second of audio.
        self._events: asyncio.Queue[str | Result | SpeechError] = asyncio.Queue()

    async def feed(self, pcm: bytes) -> None:
        """Waits while the decoder is behind. Raises DecoderLost."""
        await self._decoder.send(Kind.AUDIO, pcm)

    async def finish(self) -> None:
        """The audio ends here; the result follows. Raises DecoderLost."""
        await self._decoder.send(Kind.FINISH)

    async def next(self) -> str | Result:
        """The next delta, or the result, which is the last. Raises DecoderLost, or what `hear` was given."""
        event = await self._events.get()
        if isinstance(event, SpeechError):
            raise event
        return event

    def hear(self, event: str | Result | SpeechError) -> None:
        self._events.put_nowait(event)


class _Decoder:
    """A place for one process, and whichever process is in it now."""

    def __init__(self) -> None:
        self.is_free = asyncio.Event()
        self.is_loaded = False
        self._process: BaseProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._utterance: Utterance | None = None

    async def keep_running(self) -> None:
        """Start a process, serve it until it dies, start the next; until cancelled."""
        while True:
            try:
                await self._run_one()
            except (OSError, EOFError) as lost:
                logger.error("decoder process ended", extra={"error": type(lost).__name__})
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _run_one(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.to_thread(_start_process, theirs)
            reader, self._writer = await asyncio.open_connection(sock=ours)
            while True:
                self._hear(*await wire.receive(reader))
        finally:
            self._end(ours)

    def _hear(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.READY:
            self.is_loaded = True
            self.is_free.set()
        elif self._utterance is None:
            return  # What an abandoned utterance still had to say.
        elif kind is Kind.DELTA:
            self._utterance.hear(payload.decode())
        elif kind is Kind.RESULT:
            self._utterance.hear(wire.result_from_bytes(payload))
            self._utterance = None
            self.is_free.set()

    def _end(self, ours: socket.socket) -> None:
        self.is_loaded = False
        self.is_free.clear()
        self.kill()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        ours.close()
        if self._utterance is not None:
            self._utterance.hear(DecoderLost())
            self._utterance = None

    def kill(self) -> None:
        """What follows is found out by whoever reads from it."""
        if self._process is not None:
            self._process.kill()

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        if self._writer is None:
            raise DecoderLost
        try:
            async with asyncio.timeout(DECODER_TIMEOUT_S):
                self._writer.write(wire.pack(kind, payload))
                await self._writer.drain()
        except TimeoutError:
            self.kill()
            raise DecoderLost from None
        except OSError:
            raise DecoderLost from None

    def lend(self) -> Utterance:
        self.is_free.clear()
        self._utterance = Utterance(self)
        return self._utterance

    async def take_back(self, utterance: Utterance) -> None:
        """Ready for the next utterance, or killed if it does not stop decoding this one."""
        if self._utterance is not utterance:
            return
        self._utterance = None
        try:
            await self.send(Kind.ABANDON)
            async with asyncio.timeout(DECODER_TIMEOUT_S):
                await self.is_free.wait()
        except (DecoderLost, TimeoutError):
            self.kill()


class Pool:
    """`async with pool.running():` keeps as many decoders as there may be utterances at once."""

    def __init__(self, *, sessions: int) -> None:
        self.sessions = sessions
        self._decoders = [_Decoder() for _ in range(sessions)]
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Entered when all are ready. Raises TimeoutError if that never happens."""
        for decoder in self._decoders:
            self._own(decoder.keep_running())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.gather(*(decoder.is_free.wait() for decoder in self._decoders))
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def is_ready(self) -> bool:
        """Some decoder has the model loaded, busy or not."""
        return any(decoder.is_loaded for decoder in self._decoders)

    @contextlib.asynccontextmanager
    async def utterance(self, *, voice: tuple[float, ...] = ()) -> AsyncIterator[Utterance]:
        """A decoder of one's own. Raises NoFreeDecoder."""
        decoder = next((decoder for decoder in self._decoders if decoder.is_free.is_set()), None)
        if decoder is None:
            raise NoFreeDecoder
        utterance = decoder.lend()
        try:
            await decoder.send(Kind.START, wire.voice_to_bytes(voice))
            yield utterance
        finally:
            self._own(decoder.take_back(utterance))


def _start_process(connection: socket.socket) -> BaseProcess:
    """A fork of a process that holds nothing but the loaded model: no thread, no socket, no event loop."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["speech.preloaded"])
    process = context.Process(target=decoding.run, args=(connection,), name="decoder", daemon=True)
    process.start()
    return process
