"""What scripted engines over HTTP have in common: how the next tries go, and what was seen."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from aiohttp import web

from contract.engines import EngineSetup
from tests.support.engines.contract import RETRY_AFTER_S, WORDS_BEFORE_CUT, Fault, Seen
from tests.support.threaded import ThreadedServer

ABNORMAL = 1006
"""How a session ends that was just gone."""


class ScriptedServer(ABC):
    """`with SomeEngine(key=...) as engine:`; thread and port of its own. What it sees stays until `behave`."""

    SCRIPT: Callable[[], Any]
    """How all goes well."""
    VERSION = "/v1"

    def __init__(self, *, key: str = "") -> None:
        self._server = ThreadedServer(self._application)
        self._changed = threading.Condition()
        self._key = key
        self._live: set[Any] = set()
        self.behave()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """As in STT_BASE_URL."""
        return f"{self._server.url}{self.VERSION}"

    def behave(self) -> None:
        """By no script; what was seen is forgotten, sessions still open are cut."""
        for session in list(self._live):
            self._server.call(session.abort)
        self._script, self._times = self.SCRIPT(), 0
        self.tried = 0
        self.sessions: list[Any] = []
        self.violations: list[str] = []

    def follow(self, script: Any, *, times: int | None = None) -> None:
        """From the next request or handshake on, for so many of them; None: always."""
        self._script, self._times = script, times

    def seen(self) -> Seen:
        sessions = list(self.sessions)
        return Seen(
            tries=self.tried,
            sessions=len(sessions),
            open=sum(session.is_open for session in sessions),
            rude_ends=sum(session.close_code == ABNORMAL for session in sessions),
            violations=tuple(self.violations),
        )

    async def until(self, is_so: Callable[[Any], Any], *, timeout_s: float = 10) -> None:
        """Wait for something to become true of this server."""
        async with asyncio.timeout(timeout_s):
            while not is_so(self):
                await asyncio.to_thread(self._wait_for_change)

    def note(self) -> None:
        """Something has changed."""
        with self._changed:
            self._changed.notify_all()

    @abstractmethod
    def _application(self) -> web.Application: ...

    def _script_of_this_try(self) -> Any:
        self.tried += 1
        if self._times is None:
            return self._script
        self._times -= 1
        return self._script if self._times >= 0 else self.SCRIPT()

    def _wait_for_change(self) -> None:
        with self._changed:
            self._changed.wait(0.05)


class Scriptable(Protocol):
    """A scripted engine, over whatever wire."""

    def __enter__(self) -> object: ...
    def __exit__(self, *_: object) -> None: ...
    def behave(self) -> None: ...
    def follow(self, script: Any, *, times: int | None = None) -> None: ...
    def seen(self) -> Seen: ...


class ByScript:
    """In the contract suite: an engine that has a script for each fault."""

    def __init__(
        self, engine: Scriptable, *, setup: Callable[[], EngineSetup], scripts: Mapping[Fault, Any]
    ) -> None:
        self._engine, self._setup, self._scripts = engine, setup, scripts

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.__exit__()

    @property
    def setup(self) -> EngineSetup:
        return self._setup()

    def behave(self) -> None:
        self._engine.behave()

    def fail(self, fault: Fault, *, times: int | None = None) -> None:
        self._engine.follow(self._scripts[fault], times=times)

    def seen(self) -> Seen:
        return self._engine.seen()


def over_http(script: Callable[..., Any]) -> dict[Fault, Any]:
    """The faults that every wire over HTTP says in one way."""
    return {
        Fault.BAD_KEY: script(accepts=401),
        Fault.FORBIDDEN: script(accepts=403),
        Fault.BUSY: script(accepts=429, retry_after_s=RETRY_AFTER_S),
        Fault.BROKEN: script(accepts=500),
        Fault.FULL: script(accepts=503),
        Fault.CUT: script(aborts_after_words=WORDS_BEFORE_CUT),
        Fault.GARBAGE: script(says_rubbish=True),
    }
