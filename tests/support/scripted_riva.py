"""A Riva server that hears marked words: NVIDIA's own protos over real gRPC.

As Riva does, it splits what is not final into a stable and an unstable part, says the rest when the client's side of
the call is closed, and makes finals of its own at pauses unless told otherwise.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc, riva_audio_pb2

from tests.support.engines.contract import RUBBISH, Seen
from tests.support.engines.ear import Ear, Word
from tests.support.ports import free_port

HOST = "127.0.0.1"
MOST_CALLS = 64
PAUSE_S = 0.4
SILENCE = 100
"""Of int16; no louder is a pause."""
Response = riva_asr_pb2.StreamingRecognizeResponse
Result = riva_asr_pb2.StreamingRecognitionResult
Alternative = riva_asr_pb2.SpeechRecognitionAlternative


@dataclass(frozen=True, kw_only=True)
class Script:
    """How a call goes; one that has begun keeps to its own."""

    refuses: grpc.StatusCode | None = None
    retry_after_s: float | None = None
    hangs: bool = False
    """Takes everything, says nothing, and does not end."""
    is_cut_after_words: int | None = None
    """The connection is gone in the middle of the next word."""
    fails_after_words: int | None = None
    """There the call ends with `fails_with`."""
    fails_with: grpc.StatusCode = grpc.StatusCode.OK
    says_rubbish: bool = False
    """Before each word, what is nothing, or is at no time that there was."""
    makes_finals: bool = True
    """False: as some hosted models, interims alone."""


@dataclass(kw_only=True)
class SeenCall:
    """One call's life."""

    metadata: dict[str, str]
    config: riva_asr_pb2.RecognitionConfig | None = None
    audio_bytes: int = 0
    is_open: bool = True
    is_half_closed: bool = False


@dataclass(kw_only=True)
class _Engine(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer):  # type: ignore[misc]
    key: str
    cut: Callable[[], None] = lambda: None
    script: Script = Script()
    times: int | None = 0
    tried: int = 0
    calls: list[SeenCall] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def StreamingRecognize(
        self, requests: Iterator[riva_asr_pb2.StreamingRecognizeRequest], context: grpc.ServicerContext
    ) -> Iterator[Response]:
        self.tried += 1
        script = self._script_of_this_call()
        seen = SeenCall(metadata={name: str(value) for name, value in context.invocation_metadata()})
        refused = script.refuses
        if refused is None and self.key and seen.metadata.get("authorization") != f"Bearer {self.key}":
            refused = grpc.StatusCode.UNAUTHENTICATED
        if refused is not None:
            if script.retry_after_s is not None:
                context.set_trailing_metadata((("retry-after", str(round(script.retry_after_s))),))
            context.abort(refused, f"{RUBBISH}, in their own words")
        self.calls.append(seen)
        context.add_callback(lambda: setattr(seen, "is_open", False))
        yield from _Hearing(self, script, seen, context).answers(requests)

    def _script_of_this_call(self) -> Script:
        if self.times is None:
            return self.script
        self.times -= 1
        return self.script if self.times >= 0 else Script()


class ScriptedRiva:
    """`with ScriptedRiva(key=...) as engine:`; threads and ports of its own."""

    def __init__(self, *, key: str = "", credentials: grpc.ServerCredentials | None = None) -> None:
        self._engine = _Engine(key=key)
        self._inner_port, self._credentials = free_port(), credentials
        self._wire = _Wire(inner_port=self._inner_port)

    @property
    def target(self) -> str:
        return f"{HOST}:{self._wire.port}"

    @property
    def calls(self) -> list[SeenCall]:
        return self._engine.calls

    def __enter__(self) -> "ScriptedRiva":
        self._server = grpc.server(ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="riva"))
        riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(self._engine, self._server)
        address = f"{HOST}:{self._inner_port}"
        if self._credentials is None:
            self._server.add_insecure_port(address)
        else:
            self._server.add_secure_port(address, self._credentials)
        self._server.start()
        self._engine.cut = self._wire.cut
        self._wire.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()
        self._server.stop(grace=0).wait(5)

    def behave(self) -> None:
        """By no script; what was seen is forgotten, calls still open are cut."""
        self._wire.cut()
        engine = self._engine
        engine.script, engine.times, engine.tried = Script(), 0, 0
        engine.calls, engine.violations = [], []

    def follow(self, script: Script, *, times: int | None = None) -> None:
        """From the next call on, for so many of them; None: always."""
        self._engine.script, self._engine.times = script, times

    def seen(self) -> Seen:
        calls = list(self._engine.calls)
        return Seen(
            tries=self._engine.tried,
            sessions=len(calls),
            open=sum(call.is_open for call in calls),
            rude_ends=0,  # a call that is cancelled is told so
            violations=tuple(self._engine.violations),
        )


class _Wire:
    """Passes bytes on to the server, and can be cut: a gRPC server has no way to be gone."""

    def __init__(self, *, inner_port: int) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._inner_port = inner_port
        self._ends: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, name="riva wire", daemon=True)

    def open(self) -> None:
        self._accepting.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        self.cut()

    def cut(self) -> None:
        """Every connection ends at both sides."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self._inner_port))
                self._ends |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=ends, name="riva wire", daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
        self._ends.discard(source)


class _Hearing:
    """One call."""

    def __init__(
        self, engine: _Engine, script: Script, seen: SeenCall, context: grpc.ServicerContext
    ) -> None:
        self._engine, self._script, self._seen, self._context = engine, script, seen, context
        self._ear = Ear()
        self._open: list[Word] = []
        self._words = 0
        self._quiet_s = 0.0

    def answers(self, requests: Iterator[riva_asr_pb2.StreamingRecognizeRequest]) -> Iterator[Response]:
        opening = next(requests)
        config = self._seen.config = opening.streaming_config.config
        if config.encoding != riva_audio_pb2.LINEAR_PCM or config.sample_rate_hertz != 16_000:
            self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the audio's format")
        if "-" not in config.language_code:
            self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the language")
        for request in requests:
            if request.HasField("streaming_config") or not request.audio_content:
                self._engine.violations.append("a request without audio")
            self._seen.audio_bytes += len(request.audio_content)
            if not self._script.hangs:
                yield from self._hear(request.audio_content)
        self._seen.is_half_closed = True
        if self._script.hangs:
            self._wait_until_over()
        elif self._open and self._script.makes_finals:
            yield Response(results=[self._final()])

    def _hear(self, pcm: bytes) -> Iterator[Response]:
        for at in range(0, len(pcm), 320):
            for word in self._ear.feed(pcm[at : at + 320]):
                self._words += 1
                if self._script.says_rubbish:
                    yield from _rubbish()
                self._open.append(word)
                yield Response(results=self._interim())
            self._maybe_end_here()
            loudest = int(np.abs(np.frombuffer(pcm[at : at + 320], np.int16).astype(np.int32)).max())
            self._quiet_s = 0.0 if loudest > SILENCE else self._quiet_s + 0.01
            if self._open and self._script.makes_finals and self._quiet_s >= PAUSE_S:
                yield Response(results=[self._final()])

    def _maybe_end_here(self) -> None:
        """In the middle of a word."""
        if self._ear.under_way is None:
            return
        if self._words == self._script.is_cut_after_words:
            self._engine.cut()
            self._wait_until_over()
        if self._words == self._script.fails_after_words:
            self._context.abort(self._script.fails_with, f"{RUBBISH}, in their own words")

    def _wait_until_over(self) -> None:
        over = threading.Event()
        if self._context.add_callback(over.set):
            over.wait()

    def _interim(self) -> list[Result]:
        parts = ((self._open[:-1], 0.9), (self._open[-1:], 0.1))
        return [
            Result(alternatives=[_alternative(words)], stability=stability)
            for words, stability in parts
            if words
        ]

    def _final(self) -> Result:
        words, self._open = self._open, []
        return Result(alternatives=[_alternative(words)], is_final=True, audio_processed=self._ear.heard_s)


def _alternative(words: list[Word]) -> Alternative:
    return Alternative(
        transcript=" ".join(word.text for word in words) + " ",
        words=[
            riva_asr_pb2.WordInfo(
                word=word.text, start_time=round(word.start_s * 1000), end_time=round(word.end_s * 1000)
            )
            for word in words
        ],
    )


def _rubbish() -> Iterator[Response]:
    yield Response()
    yield Response(results=[Result()])
    yield Response(results=[Result(is_final=True)])
    yield Response(results=[Result(alternatives=[Alternative(transcript=" ")], is_final=True)])
    nowhere = riva_asr_pb2.WordInfo(word="", start_time=-(2**31), end_time=2**31 - 1)
    yield Response(results=[Result(alternatives=[Alternative(transcript=" ", words=[nowhere])])])
