"""Messages between the server and a decoder process: one letter, a length, a payload."""

import asyncio
import enum
import json
import socket
import struct

from speech.engines.interface import Result, Word

_HEADER = struct.Struct("!cI")


class Kind(enum.Enum):
    """The first four go to the decoder, the others come from it."""

    START = b"S"
    AUDIO = b"A"
    FINISH = b"F"
    ABANDON = b"X"
    READY = b"R"
    DELTA = b"D"
    RESULT = b"E"


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    return _HEADER.pack(kind.value, len(payload)) + payload


async def receive(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """Raises asyncio.IncompleteReadError when the other side has gone."""
    letter, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return Kind(letter), await reader.readexactly(length)


def receive_blocking(connection: socket.socket) -> tuple[Kind, bytes]:
    """Raises EOFError when the other side has gone."""
    letter, length = _HEADER.unpack(_exactly(connection, _HEADER.size))
    return Kind(letter), _exactly(connection, length)


def voice_to_bytes(voice: tuple[float, ...]) -> bytes:
    return json.dumps(voice).encode()


def voice_from_bytes(payload: bytes) -> tuple[float, ...]:
    return tuple(json.loads(payload))


def result_to_bytes(result: Result) -> bytes:
    words = [(word.text, word.start_s, word.end_s) for word in result.words]
    return json.dumps({"words": words, "voice": result.voice}).encode()


def result_from_bytes(payload: bytes) -> Result:
    fields = json.loads(payload)
    words = (Word(text=text, start_s=start_s, end_s=end_s) for text, start_s, end_s in fields["words"])
    return Result(words=tuple(words), voice=tuple(fields["voice"]))


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return bytes(received)
