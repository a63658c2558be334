"""The scripted engine's two ports: Deepgram's live WebSocket, and its control."""

import asyncio
import contextlib
import json
import time
import uuid
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from tests.support.deepgram import messages
from tests.support.deepgram.recogniser import Begun, Recogniser, Result, Word
from tests.support.deepgram.script import Attempt, Connection, Hangs, HeardWord, Script, Seen, Sent, Total

HOST = "127.0.0.1"
TICK_S = 0.05
LOOK_EVERY_S = 0.005
IDLE_TIMEOUT_S = 12.0
"""Deepgram's NET-0001: neither audio nor KeepAlive for so long closes the stream with 1011."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class Engine:
    """Listens on both ports until cancelled."""

    def __init__(self, *, port: int, control_port: int) -> None:
        self._port, self._control_port = port, control_port
        self.script, self.seen = Script(), Seen()
        self.finals_by_label: Counter[str] = Counter()
        self.closed_by_script = self.struck = 0
        self._streams: set[_Stream] = set()
        self._numbers = 0
        self._site: web.TCPSite | None = None
        self._listening = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        engine, control = web.Application(), web.Application(client_max_size=MAX_MESSAGE_BYTES)
        engine.router.add_get("/v1/listen", self._listen)
        control.router.add_post("/script", self._merge)
        control.router.add_get("/seen", self._tell)
        control.router.add_post("/reset", self._reset)
        control.router.add_post("/drop", self._drop)
        self._engine_runner = web.AppRunner(engine, access_log=None, shutdown_timeout=0.1)
        control_runner = web.AppRunner(control, access_log=None, shutdown_timeout=0.1)
        await self._engine_runner.setup()
        await control_runner.setup()
        try:
            await self._open_or_shut()
            await web.TCPSite(control_runner, HOST, self._control_port, reuse_address=True).start()
            while True:
                await asyncio.sleep(TICK_S)
                self._end_old_streams()
        finally:
            self._abort_all()
            await self._engine_runner.cleanup()
            await control_runner.cleanup()

    async def _merge(self, request: web.Request) -> web.Response:
        try:
            self.script.merge(await request.json())
        except (ValueError, TypeError):
            return web.Response(status=400)
        await self._open_or_shut()
        return web.json_response({})

    async def _tell(self, _: web.Request) -> web.Response:
        self._sum_up()
        return web.json_response(self.seen.to_json())

    async def _reset(self, _: web.Request) -> web.Response:
        """Behaves again and forgets; connections still open are ended and leave no trace."""
        self.script = Script()
        self._abort_all()
        self._streams = set()
        self.seen, self.finals_by_label = Seen(), Counter()
        self.closed_by_script = self.struck = 0
        await self._open_or_shut()
        return web.json_response({})

    async def _drop(self, _: web.Request) -> web.Response:
        """Every connection ends, as if the machine were gone."""
        self._abort_all()
        return web.json_response({})

    async def _open_or_shut(self) -> None:
        async with self._listening:
            if self.script.refuses_connections and self._site:
                site, self._site = self._site, None
                await site.stop()
            elif not self.script.refuses_connections and not self._site:
                self._site = web.TCPSite(self._engine_runner, HOST, self._port, reuse_address=True)
                await self._site.start()

    def _end_old_streams(self) -> None:
        now = time.monotonic()
        for stream in list(self._streams):
            age_s = now - stream.seen.opened_at
            if self.script.closes_every_s is not None and age_s >= self.script.closes_every_s:
                stream.abort()
            elif now - stream.lively_at > IDLE_TIMEOUT_S:
                stream.end(1011)

    def _abort_all(self) -> None:
        for stream in self._streams:
            stream.abort()

    def _sum_up(self) -> None:
        """Totals are made when asked for; only `most_open` needs keeping."""
        for stream in self._streams:
            stream.note_audio()
        totals = {label: Total(most_open=total.most_open) for label, total in self.seen.labels.items()}
        for connection in self.seen.connections:
            total = totals[connection.label]
            total.connections += 1
            total.open += connection.closed_at is None
            total.audio_s += connection.audio_s
            total.silent_s += connection.silent_s
            total.words += len(connection.words)
            total.finals += len(connection.finals)
            total.dropped_finals += len(connection.dropped_finals)
        self.seen.labels = totals

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key if scheme == "Token" else ""
        label = request.query.get("tag") or key
        is_struck = self._is_struck()
        status = self._status(key, is_struck=is_struck)
        attempt = Attempt(at=time.monotonic(), label=label, key=key, status=status)
        self.seen.attempts.append(attempt)
        if status != 101:
            headers = (
                {} if self.script.retry_after_s is None else {"Retry-After": str(self.script.retry_after_s)}
            )
            return web.json_response(
                {"err_code": "SCRIPTED", "err_msg": "refused"}, status=status, headers=headers
            )
        try:
            recogniser = _recogniser(request)
        except ValueError:
            attempt.status = 400
            return web.json_response({"err_code": "Bad Request", "err_msg": "bad query"}, status=400)
        request_id = str(uuid.uuid4())
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES)
        socket.headers["dg-request-id"] = request_id
        await socket.prepare(request)
        self._numbers += 1
        seen = Connection(
            number=self._numbers,
            label=label,
            key=key,
            query={name: ", ".join(request.query.getall(name)) for name in request.query},
            opened_at=time.monotonic(),
        )
        self.seen.connections.append(seen)
        stream = _Stream(
            self, request, socket, recogniser, seen=seen, request_id=request_id, may_hang=is_struck
        )
        self._streams.add(stream)
        total = self.seen.labels.setdefault(label, Total())
        total.open = sum(s.seen.label == label for s in self._streams)
        total.most_open = max(total.most_open, total.open)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)
        return socket

    def _is_struck(self) -> bool:
        """Whether this handshake is among those that a fault holds for."""
        times = self.script.faults_times
        is_struck = times is None or self.struck < times
        self.struck += bool(is_struck and (self.script.accepts or self.script.hangs))
        return is_struck

    def _status(self, key: str, *, is_struck: bool) -> int:
        if self.script.accepts and is_struck:
            return self.script.accepts
        if self.script.accepted_key is not None and key != self.script.accepted_key:
            return 401
        return 101


class _Stream:
    """One client's socket."""

    def __init__(
        self,
        engine: Engine,
        request: web.Request,
        socket: web.WebSocketResponse,
        recogniser: Recogniser,
        *,
        seen: Connection,
        request_id: str,
        may_hang: bool,
    ) -> None:
        self._may_hang = may_hang
        self.seen, self.lively_at = seen, seen.opened_at
        self._engine, self._request, self._socket, self._recogniser = engine, request, socket, recogniser
        self._request_id, self._created = request_id, datetime.now(UTC).isoformat()
        self._wants_interims = request.query.get("interim_results", "false") == "true"
        self._wants_starts = request.query.get("vad_events", "false") == "true"
        self._wants_ends = "utterance_end_ms" in request.query
        self._is_in_speech = self._has_sent_garbage = False
        self._due: deque[tuple[float, str | bytes, Sent | None]] = deque()
        self._has_due = asyncio.Event()
        self._closing: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Until either side ends it."""
        sending = asyncio.create_task(self._send_due(), name="scripted send")
        try:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                await self._receive()
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            self.note_audio()
            self.seen.closed_at = time.monotonic()
            self.seen.ending = self.seen.ending or "abrupt"

    def abort(self) -> None:
        """No goodbye, unless the script has one."""
        if code := self._engine.script.close_code:
            self.end(code)
            return
        self.seen.ending = self.seen.ending or "server"
        if self._request.transport is not None:
            self._request.transport.abort()

    def end(self, code: int) -> None:
        """With a goodbye."""
        if self.seen.ending is None:
            self.seen.ending = "server"
            self._closing = asyncio.create_task(self._socket.close(code=code), name="scripted close")

    def note_audio(self) -> None:
        self.seen.audio_s, self.seen.silent_s = self._recogniser.heard_s, self._recogniser.silent_s

    async def _receive(self) -> None:
        async for message in self._socket:
            while self._hangs == "unread" and self._is_connected:
                self.lively_at = time.monotonic()
                await asyncio.sleep(TICK_S)
            self.lively_at = time.monotonic()
            if self.seen.ending is None and message.type is WSMsgType.BINARY:
                self._hear(message.data)
            if self.seen.ending is not None:
                break
            if message.type is WSMsgType.TEXT and await self._obey(message.data):
                return
        if self._closing is not None:
            await self._closing

    @property
    def _is_connected(self) -> bool:
        return not self._socket.closed and self._request.transport is not None

    @property
    def _script(self) -> Script:
        return self._engine.script

    @property
    def _hangs(self) -> Hangs | None:
        return self._script.hangs if self._may_hang else None

    def _hear(self, pcm: bytes) -> None:
        self.seen.messages += 1
        self.seen.last_audio_at = self.lively_at
        if not pcm:
            self.seen.violations.append("an empty message")  # Deepgram takes it for the end of the stream
        for event in self._recogniser.feed(pcm, self._script):
            if self.seen.ending is not None:
                return
            if isinstance(event, Begun):
                self._begin(event)
            elif isinstance(event, Word):
                self.seen.words.append(
                    HeardWord(
                        code=event.code,
                        text=event.text,
                        start_s=event.start_s,
                        end_s=event.end_s,
                        at=self.lively_at,
                    )
                )
                self._start_speech(event)
            else:
                self._say(event)

    def _begin(self, begun: Begun) -> None:
        after, times = self._script.closes_after_words, self._script.closes_times
        is_left = times is None or self._engine.closed_by_script < times
        if after is not None and begun.words_before >= after and is_left and self.seen.ending is None:
            self._engine.closed_by_script += 1
            self.abort()

    def _start_speech(self, word: Word) -> None:
        if self._wants_starts and not self._is_in_speech:
            self._put(messages.speech_started(word.start_s), delay_ms=self._script.delay_ms)
        self._is_in_speech = True

    async def _obey(self, line: str) -> bool:
        """True when the stream is over."""
        try:
            kind = json.loads(line)["type"]
        except (ValueError, LookupError, TypeError):
            kind = None
        if kind == "KeepAlive":
            self.seen.keepalives.append(self.lively_at)
        elif kind == "Finalize":
            self.seen.finalizes.append(self.lively_at)
            if self._script.answers_empty_finalize or self._recogniser.holds_words:
                self._say(self._recogniser.finalize())
        elif kind == "CloseStream":
            self.seen.ending = "CloseStream"
            await self._close()
            return True
        else:
            self.seen.violations.append("an unknown message")
        return False

    async def _close(self) -> None:
        """The rest of the words, Metadata, and goodbye."""
        if self._recogniser.holds_words:
            self._say(self._recogniser.close())
        self.note_audio()
        self._put(
            messages.metadata(
                request_id=self._request_id,
                created=self._created,
                duration_s=self.seen.audio_s,
                channels=1,
            ),
            delay_ms=0,
        )
        while self._is_connected and (self._due or self._hangs):  # noqa: ASYNC110 - two sides change it
            await asyncio.sleep(LOOK_EVERY_S)
        await self._socket.close(code=1000)

    def _say(self, result: Result) -> None:
        script = self._script
        if not result.is_final and not self._wants_interims:
            return
        if result.words and not self._has_sent_garbage:
            self._has_sent_garbage = True
            for name in script.garbage:
                for bad in messages.garbage(
                    name, result=result, request_id=self._request_id, flood=script.flood
                ):
                    self._put(bad, delay_ms=script.delay_ms)
                    self.seen.garbage_messages += 1
        if result.is_final and result.words:
            finals = self._engine.finals_by_label
            finals[self.seen.label] += 1
            if script.drop_final and finals[self.seen.label] % script.drop_final == 0:
                self.seen.dropped_finals.append(result.text)
                return
        sent = Sent(
            at=0.0,
            text=result.text,
            is_final=result.is_final,
            from_finalize=result.from_finalize,
            start_s=result.start_s,
            duration_s=result.duration_s,
        )
        line = messages.results(result, request_id=self._request_id, language=script.language)
        self._put(line, delay_ms=script.final_delay_ms if result.is_final else script.delay_ms, sent=sent)
        if result.speech_final and result.words:
            self._is_in_speech = False
            if self._wants_ends:
                self._put(messages.utterance_end(result.words[-1].end_s), delay_ms=script.final_delay_ms)

    def _put(self, message: str | bytes, *, delay_ms: float, sent: Sent | None = None) -> None:
        """What was decided first goes first, whatever its delay."""
        if self._hangs:
            return
        after = self._due[-1][0] if self._due else 0.0
        self._due.append((max(after, self.lively_at + delay_ms / 1000), message, sent))
        self._has_due.set()

    async def _send_due(self) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError, RuntimeError):
            while True:
                while not self._due:
                    self._has_due.clear()
                    await self._has_due.wait()
                at, message, sent = self._due[0]
                if (wait_s := at - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_str(message)
                if sent is not None:
                    sent.at = time.monotonic()
                    self.seen.sent.append(sent)
                self._due.popleft()


def _recogniser(request: web.Request) -> Recogniser:
    """Raises ValueError for a query this engine does not take."""
    query: Any = request.query
    if query.get("encoding", "linear16") != "linear16":
        raise ValueError("only linear16")
    endpointing = query.get("endpointing", "10")
    return Recogniser(
        sample_rate_hz=int(query.get("sample_rate", "16000")),
        channels=int(query.get("channels", "1")),
        endpointing_ms=None if endpointing == "false" else float(endpointing),
    )
