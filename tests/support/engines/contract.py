"""What a scripted engine has to offer so that the contract suite can run against it."""

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from contract.engines import EngineSetup

RETRY_AFTER_S = 7
"""Sent with BUSY."""
WORDS_BEFORE_CUT = 2
RUBBISH = "garbage"
"""Stands in every text that no caption may show."""


class Fault(enum.Enum):
    """What an engine does instead of its work; each wire has its own way to say so."""

    BAD_KEY = "401"
    FORBIDDEN = "403"
    BUSY = "429"
    """With Retry-After."""
    BROKEN = "500"
    FULL = "503"
    HANGS = "hangs"
    """Takes everything, says nothing."""
    CUT = "cut"
    """The connection is gone in the middle of the word after WORDS_BEFORE_CUT, or of the answer to a request."""
    GARBAGE = "garbage"
    """What is no answer: between the answers, or instead of one."""
    SESSION_LIMIT = "session limit"
    """The engine ends a session because it has lasted too long, in its own words."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Since `behave`."""

    tries: int
    """Handshakes, or requests where each utterance is one; refused ones too."""
    sessions: int
    """Those that were let in."""
    open: int
    rude_ends: int
    """Sessions that the client left without the goodbye of this wire."""
    violations: tuple[str, ...]
    """What the client did that this wire does not allow."""


class EngineServer(Protocol):
    """Listens on 127.0.0.1; a word for each marker in the audio, `w007` for marker 7."""

    @property
    def setup(self) -> EngineSetup:
        """What makes the engine of the registry talk to this server."""

    def behave(self) -> None:
        """No more faults; sessions still open are ended; what was seen is forgotten."""

    def fail(self, fault: Fault, *, times: int | None = None) -> None:
        """From the next try on, for so many tries; None: until told otherwise."""

    def seen(self) -> Seen:
        """Until now."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine in the table. What it can do otherwise its capabilities in the registry say."""

    engine: str
    serve: Callable[[], AbstractContextManager[EngineServer]]
    survives_garbage: bool = True
    """False: GARBAGE ends the stream, as a fault of the engine."""
    session_is_an_utterance: bool = False
    """True: it streams, and each utterance is a session (a connection, a call) of its own."""
    tells_retry_after: bool = True
    """False: this wire has no place for it, or the plugin does not hand it on."""

    def __str__(self) -> str:
        return self.engine
