"""What scripted engines on a WebSocket have in common: who is let in, what becomes of a session, what was seen."""

import contextlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.engines.contract import RUBBISH
from tests.support.engines.scripted import ScriptedServer

LAST_WORDS_S = 0.02
"""From the end of an utterance to what is said of all of it."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """How a session goes; one that has begun keeps to its own."""

    accepts: int | None = None
    """The HTTP status a handshake is refused with."""
    retry_after_s: float | None = None
    hangs: bool = False
    """Takes everything, says nothing."""
    fails_at_once: str | int | None = None
    """The engine's own word for an error, instead of its greeting; then it closes."""
    aborts_after_words: int | None = None
    """The connection is gone in the middle of the next word."""
    fails_after_words: int | None = None
    """There it says an error of `fails_with`, and closes."""
    fails_with: str | int = ""
    says_rubbish: bool = False
    """Before each word, what is no message."""


@dataclass(kw_only=True)
class SeenSession:
    """One socket's life."""

    query: dict[str, list[str]]
    messages: list[str] = field(default_factory=list)
    """The kind of each that has no audio."""
    audio_bytes: int = 0
    commits_s: list[float] = field(default_factory=list)
    """Where in the audio, for wires that have such."""
    is_open: bool = True
    close_code: int | None = None
    """What the client closed it with; ABNORMAL: it was just gone. None while open, and when the server ended it."""


class SocketEngine(ScriptedServer):
    """All of it on one path."""

    SCRIPT = Script
    VERSION = ""
    PATH = ""

    def behave(self) -> None:
        super().behave()
        self.keys: list[str] = []

    @abstractmethod
    def key_of(self, request: web.Request) -> str:
        """As this engine is told it."""

    @abstractmethod
    def session(
        self, request: web.Request, socket: web.WebSocketResponse, script: Script, seen: SeenSession
    ) -> "SocketSession": ...

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get(self.PATH, self._serve)
        return application

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        script = self._script_of_this_try()
        self.keys.append(self.key_of(request))
        status = script.accepts or (None if self._key in ("", self.keys[-1]) else 401)
        if status is not None:
            wait_s = script.retry_after_s
            return web.Response(status=status, headers=wait_s and {"Retry-After": str(round(wait_s))})
        socket = web.WebSocketResponse(max_msg_size=1_000_000, timeout=0.5)
        await socket.prepare(request)
        seen = SeenSession(query={name: request.query.getall(name) for name in request.query})
        self.sessions.append(seen)
        session = self.session(request, socket, script, seen)
        self._live.add(session)
        try:
            await session.run()
        finally:
            self._live.discard(session)
            seen.is_open = False
        return socket


class SocketSession(ABC):
    """One socket."""

    RUBBISH: tuple[str, ...] = ()

    def __init__(
        self,
        server: SocketEngine,
        request: web.Request,
        socket: web.WebSocketResponse,
        script: Script,
        seen: SeenSession,
    ) -> None:
        self._server, self._request, self._socket = server, request, socket
        self.script, self.seen = script, seen
        self._is_cut = False
        self._words = 0

    async def run(self) -> None:
        """Until either side ends it."""
        try:
            with contextlib.suppress(ConnectionError):
                if self.script.fails_at_once is not None:
                    await self.fail(self.script.fails_at_once)
                    return
                if not self.script.hangs:
                    await self.greet()
                async for message in self._socket:
                    if message.type is WSMsgType.TEXT:
                        await self.take(json.loads(message.data))
        finally:
            if not self._is_cut:
                self.seen.close_code = self._socket.close_code

    @abstractmethod
    async def greet(self) -> None: ...

    @abstractmethod
    async def take(self, message: dict[str, Any]) -> None: ...

    @abstractmethod
    async def say_error(self, word: str | int) -> None: ...

    async def fail(self, word: str | int) -> None:
        """An error, and the end of it."""
        self._is_cut = True
        await self.say_error(word)
        await self._socket.close(code=1008)

    def abort(self) -> None:
        """No goodbye."""
        self._is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def say(self, message: dict[str, Any]) -> None:
        if not self.script.hangs:
            await self._socket.send_str(json.dumps(message))

    async def before_word(self) -> None:
        """What the script has for the beginning of a word."""
        if self.script.aborts_after_words == self._words:
            self.abort()
            raise ConnectionError
        if self.script.fails_after_words == self._words:
            await self.fail(self.script.fails_with)
            raise ConnectionError

    async def say_rubbish(self) -> None:
        self._words += 1
        if self.script.says_rubbish:
            for line in (f"{RUBBISH}, no json at all", "", "[" * 5_000, json.dumps([RUBBISH]), *self.RUBBISH):
                await self._socket.send_str(line)
            await self._socket.send_bytes(RUBBISH.encode())

    def object(self, violation: str) -> None:
        self._server.violations.append(violation)
