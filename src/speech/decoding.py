"""The body of a decoder process: audio in, deltas and a result out, one utterance at a time."""

import select
import signal
import socket

from speech import wire
from speech.agreement import LocalAgreement
from speech.engines.interface import Recogniser
from speech.limits import BYTES_PER_SECOND
from speech.wire import Kind

HYPOTHESIS_EVERY_BYTES = BYTES_PER_SECOND // 5
HYPOTHESIS_AT_LEAST_EVERY_BYTES = BYTES_PER_SECOND


def run(connection: socket.socket) -> None:
    """Ends when the server closes its end, which the kernel does for it if it is killed."""
    # Ctrl-C reaches the whole foreground group; the server decides when decoders end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from speech.preloaded import RECOGNISER

    try:
        DecoderProcess(connection=connection, recogniser=RECOGNISER).serve()
    except (EOFError, ConnectionError):
        return


class DecoderProcess:
    def __init__(self, *, connection: socket.socket, recogniser: Recogniser) -> None:
        self._connection = connection
        self._recogniser = recogniser
        self._agreement = LocalAgreement()
        self._unread_bytes = 0

    def serve(self) -> None:
        self._send(Kind.READY)
        while True:
            kind, payload = wire.receive_blocking(self._connection)
            if kind is Kind.START:
                self._start(wire.voice_from_bytes(payload))
            elif kind is Kind.AUDIO:
                self._hear(payload)
            elif kind is Kind.FINISH:
                self._finish()
            elif kind is Kind.ABANDON:
                self._start(())
                self._send(Kind.READY)

    def _start(self, voice: tuple[float, ...]) -> None:
        self._recogniser.start(voice)
        self._agreement = LocalAgreement()
        self._unread_bytes = 0

    def _hear(self, pcm: bytes) -> None:
        self._recogniser.feed(pcm)
        self._unread_bytes += len(pcm)
        if self._wants_hypothesis():
            self._unread_bytes = 0
            self._send_delta(self._agreement.hear(self._recogniser.hypothesis()))

    def _finish(self) -> None:
        result = self._recogniser.finish()
        self._send_delta(self._agreement.conclude(result.words))
        self._send(Kind.RESULT, wire.result_to_bytes(result))

    def _wants_hypothesis(self) -> bool:
        """More seldom when audio is already waiting: catching up comes first."""
        if self._unread_bytes >= HYPOTHESIS_AT_LEAST_EVERY_BYTES:
            return True
        return self._unread_bytes >= HYPOTHESIS_EVERY_BYTES and not self._audio_waits()

    def _audio_waits(self) -> bool:
        readable, _, _ = select.select([self._connection], [], [], 0)
        return bool(readable)

    def _send_delta(self, delta: str) -> None:
        if delta:
            self._send(Kind.DELTA, delta.encode())

    def _send(self, kind: Kind, payload: bytes = b"") -> None:
        self._connection.sendall(wire.pack(kind, payload))
