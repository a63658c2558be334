"""The laboratory: every process of a deployment on this machine, each at the mercy of a row."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
import psycopg
from livekit import api

from contract.names import AGENT_NAME
from tests.support import postgres
from tests.support.livekit import ROOT, LiveKitServer, livekit_binary
from tests.support.ports import free_port, free_ports_in_a_row
from tests.support.redis import Redis
from tools.chaos.balancer import Balancer
from tools.chaos.engine import LabEngine
from tools.chaos.events import Events
from tools.chaos.processes import LabProcess

AGENT_KIND = api.ParticipantInfo.Kind.AGENT
SETTLES_WITHIN_S = 60.0
PLANTS = (
    "",
    "no_lease",
    "no_keeper",
    "lossy_engine",
    "lost_passphrase",
    "lossy_store",
    "doubling_store",
    "burnt_spool",
)
NO_LEASE = "DROP INDEX one_active_session_per_room"
SLOW_INSERT = """
CREATE FUNCTION be_slow() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END' LANGUAGE plpgsql;
CREATE TRIGGER slow BEFORE INSERT ON leases_session FOR EACH ROW EXECUTE FUNCTION be_slow();
"""
"""Without the index two starts collide only if both look before either writes; in every round, then."""

LOSSY_STORE = """
CREATE FUNCTION forget() RETURNS trigger AS
    'BEGIN DELETE FROM transcripts_line WHERE id = NEW.id AND id % 3 = 0; RETURN NULL; END' LANGUAGE plpgsql;
CREATE TRIGGER forgetful AFTER INSERT ON transcripts_line FOR EACH ROW EXECUTE FUNCTION forget();
"""
LINE = (
    "meeting_id, revision, sequence, start_ms, end_ms, person_id, speaker_identity, speaker_name, track_sid, language, "
    "engine, is_corrected, text, session_id, generation, stored_at"
)
DOUBLING_STORE = f"""
CREATE FUNCTION say_again() RETURNS trigger AS 'BEGIN
    IF pg_trigger_depth() = 1 THEN
        INSERT INTO transcripts_line (segment_id, change, {LINE})
        SELECT gen_random_uuid(), change + 1000000, {LINE} FROM transcripts_line WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END' LANGUAGE plpgsql;
CREATE TRIGGER doubling AFTER INSERT ON transcripts_line FOR EACH ROW EXECUTE FUNCTION say_again();
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`status` 0: no answer came; `body` is parsed JSON, or text."""

    status: int
    body: Any
    took_s: float
    headers: dict[str, str]

    @property
    def is_2xx(self) -> bool:
        return 200 <= self.status < 300


class Lab:
    """`with Lab(directory) as lab:`; free ports, a directory of its own, and nothing is left running.

    `livekit` is for clients, `url` the one address of the backends. `environment` goes to every process. LiveKit knows
    the key of `next_livekit` too.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        backends: int = 2,
        keepers: int = 2,
        database: Literal["postgres", "sqlite"] = "postgres",
        redis: bool = True,
        engine: Literal["embedded", "scripted"] = "embedded",
        plant: str = "",
        **environment: str,
    ) -> None:
        if plant not in PLANTS:
            raise ValueError(f"CHAOS_PLANT is one of {', '.join(PLANTS[1:])}")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.plant = plant
        livekit_port = free_ports_in_a_row(3)
        self.livekit = self.first_livekit = LiveKitServer(
            port=livekit_port, api_key="chaoskey", api_secret="chaos-secret-" + "x" * 32
        )
        self.next_livekit = LiveKitServer(
            port=livekit_port, api_key="nextkey", api_secret="next-secret-" + "y" * 32
        )
        self._balancer_port, self._events_port, self._speech_port = free_port(), free_port(), free_port()
        self._backend_ports = [free_port() for _ in range(backends)]
        self.url = f"http://127.0.0.1:{self._balancer_port}"
        self.backend_urls = tuple(f"http://127.0.0.1:{port}" for port in self._backend_ports)
        self.speech_url = f"http://127.0.0.1:{self._speech_port}"
        self.events = Events(self._events_port)
        self._cluster = postgres.Cluster() if database == "postgres" else None
        self._redis = Redis(directory) if redis else None
        self._engine = LabEngine(plant=plant) if engine == "scripted" else None
        self.database_url = (
            self._cluster.database_url if self._cluster else f"sqlite:///{directory / 'db.sqlite3'}"
        )
        self.passphrase = f"encryption-{'x' * 40}"
        self._environment = self._common_environment() | environment
        self._keeper_ports = [free_port() for _ in range(0 if plant == "no_keeper" else keepers)]
        self.worker_names = tuple(f"subtitles-{number}" for number in range(1, workers + 1))
        self._metrics_ports = {name: free_port() for name in self.worker_names}
        self._processes = {process.name: process for process in self._all_processes()}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Lab":
        try:
            self._open.enter_context(Balancer(port=self._balancer_port, backend_ports=self._backend_ports))
            self._open.enter_context(self.events)
            if self._engine:
                self._open.enter_context(self._engine.proxy)
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The workers first, so that they leave their rooms; what they stand on last.
        for process in reversed(self._processes.values()):
            if process.is_running and process.name.startswith(("subtitles", "postgres")):
                process.stop()
            process.sweep()
        self._open.close()
        if self._cluster:
            self._cluster.remove()

    def process(self, name: str) -> LabProcess:
        """`livekit`, `postgres`, `redis`, `speech`, `backend-1`, `keeper-1`, `subtitles-1` …"""
        return self._processes[name]

    @property
    def environment(self) -> dict[str, str]:
        """Of every process, for another one beside them."""
        return dict(self._environment)

    @property
    def processes(self) -> tuple[LabProcess, ...]:
        return tuple(self._processes.values())

    @property
    def workers(self) -> tuple[LabProcess, ...]:
        return tuple(self._processes[name] for name in self.worker_names)

    def spool_of(self, worker: str) -> Path:
        """Where its finals wait until the backend has them."""
        return self.directory / f"spool-{worker}"

    @property
    def engine(self) -> LabEngine:
        """The scripted one; for rows that need it."""
        if self._engine is None:
            raise RuntimeError("this laboratory has no scripted engine")
        return self._engine

    async def mend(self) -> None:
        """Everything runs again, and waits for people: a row may have left something dead or paused."""
        await asyncio.to_thread(self._mend)

    def new_room(self) -> str:
        return f"room-{secrets.token_hex(6)}"

    # What the deployment says

    def http(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: object = None,
        *,
        timeout_s: float = 10,
        base: str | None = None,
    ) -> Answer:
        """One request on a connection of its own. Blocks: rows call `request`."""
        address = urlsplit(base or self.url)
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent = None if body is None else json.dumps(body)
        began = time.monotonic()
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)
        try:
            connection.request(method, path, body=sent, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            took_s = time.monotonic() - began
            return Answer(status=0, body=type(error).__name__, took_s=took_s, headers={})
        finally:
            connection.close()
        return Answer(
            status=answer.status,
            body=_parsed(text),
            took_s=time.monotonic() - began,
            headers={name.lower(): value for name, value in answer.getheaders()},
        )

    async def request(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: object = None,
        *,
        timeout_s: float = 10,
        base: str | None = None,
    ) -> Answer:
        return await asyncio.to_thread(self.http, method, path, token, body, timeout_s=timeout_s, base=base)

    async def start_subtitles(self, room: str, identity: str) -> Answer:
        return await self.request("POST", subtitles_path(room), self.livekit.token(room, identity), {})

    async def stop_subtitles(self, room: str, identity: str) -> Answer:
        return await self.request("DELETE", subtitles_path(room), self.livekit.token(room, identity))

    async def state(self, room: str, identity: str) -> dict[str, Any]:
        """As REST has it; {} when it does not answer 200."""
        answer = await self.request("GET", subtitles_path(room), self.livekit.token(room, identity))
        return answer.body if answer.status == 200 else {}

    # What LiveKit lists

    async def agents_in(self, room: str) -> list[api.ParticipantInfo]:
        async with self.livekit.api() as lkapi:
            listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
        return [p for p in listed.participants if p.kind == AGENT_KIND]

    async def dispatches_in(self, room: str) -> list[api.AgentDispatch]:
        async with self.livekit.api() as lkapi:
            listed = await lkapi.agent_dispatch.list_dispatch(room)
        return [dispatch for dispatch in listed if dispatch.agent_name == AGENT_NAME]

    async def rooms(self) -> list[str]:
        async with self.livekit.api() as lkapi:
            return [r.name for r in (await lkapi.room.list_rooms(api.ListRoomsRequest())).rooms]

    # What the database holds

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if self._cluster:
            with psycopg.connect(self.database_url, connect_timeout=3, autocommit=True) as connection:
                cursor = connection.execute(sql)
                return cursor.fetchall() if cursor.description else []
        file = self.directory / "db.sqlite3"
        with contextlib.closing(sqlite3.connect(file, timeout=5, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    def lease_of(self, room: str) -> tuple[str, int] | None:
        """Worker ('' before a claim) and generation of the room's active session."""
        rows = self.query(
            f"SELECT worker, generation FROM leases_session WHERE room = '{room}' AND ended_at IS NULL"
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def subtitles_of(self, room: str) -> str | None:
        """The name of the worker that holds the room now."""
        lease = self.lease_of(room)
        return lease[0] or None if lease else None

    def job_of(self, room: str) -> int:
        """The pid of the process that transcribes the room, as its worker logs it. Raises LookupError."""
        for worker in self.workers:
            started = re.findall(rf'pipeline started .*?\bpid=(\d+) .*?room="{room}"', worker.log())
            if started and psutil.pid_exists(int(started[-1])) and worker.name == self.subtitles_of(room):
                return int(started[-1])
        raise LookupError(room)

    def metric(self, worker: str, name: str) -> float:
        """A number that a worker tells of itself. Raises LookupError."""
        text = _text_at(f"http://127.0.0.1:{self._metrics_ports[worker]}/metrics") or ""
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        if found is None:
            raise LookupError(name)
        return float(found[1])

    async def manage(self, *arguments: str, given: str = "", **environment: str) -> str:
        """What a command of the backend says; `given` is its standard input. Raises RuntimeError."""
        command = _python("src/backend/manage.py", *arguments)
        running = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=self._environment | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await running.communicate(given.encode())
        if running.returncode:
            raise RuntimeError(f"{arguments[0]}: {said.decode()[-300:]}")
        return said.decode()

    async def until(self, is_so: Callable[[], object], *, timeout_s: float, what: str) -> float:
        """Asked in a thread, ten times a second; how long it took. Raises TimeoutError."""
        began = time.monotonic()
        while not await asyncio.to_thread(is_so):
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s")
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    # How it is made

    def _start_all(self) -> None:
        below = [self._processes[name] for name in ("postgres", "redis") if name in self._processes]
        for process in below:
            process.start()
        for process in below:
            process.wait_ready()
        manage = _python("src/backend/manage.py", "migrate", "--verbosity=0")
        subprocess.run(manage, cwd=ROOT, env=self._environment, check=True, timeout=120)
        if self.plant == "no_lease":
            self.query(NO_LEASE)
            if self._cluster:
                self.query(SLOW_INSERT)
        if harm := {"lossy_store": LOSSY_STORE, "doubling_store": DOUBLING_STORE}.get(self.plant):
            self.query(harm)
        self._mend()

    def _mend(self) -> None:
        for process in self.processes:
            process.resume()
            process.start()
        for process in self.processes:
            process.wait_ready()
        if self._engine:
            self._engine.behave()
        _until(self.has_settled, timeout_s=SETTLES_WITHIN_S, what="the laboratory is not ready")

    def has_settled(self) -> bool:
        """Every worker is known to the backend, and a keeper trusts what it hears of them."""
        if not self.worker_names:
            return True
        if not all(
            self.http("GET", "/readyz", base=base, timeout_s=3).status == 200 for base in self.backend_urls
        ):
            return False
        known = {name for (name,) in self.query("SELECT name FROM leases_worker WHERE NOT is_draining")}
        return set(self.worker_names) <= known and all(map(_judges_workers, self._keeper_ports))

    def _common_environment(self) -> dict[str, str]:
        inherited = ("PATH", "HOME", "LANG", "TMPDIR")
        return {
            **{name: os.environ[name] for name in inherited if name in os.environ},
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "backend.config.settings",
            "DJANGO_ENV": "local",
            "DJANGO_SECRET_KEY": f"django-{'x' * 40}",
            "INTERNAL_API_SECRET": f"internal-{'x' * 40}",
            "API_KEY_ENCRYPTION_KEY": self.passphrase,
            "DATABASE_URL": self.database_url,
            **({"CACHE_URL": self._redis.url} if self._redis else {}),
            "LIVEKIT_URL": self.livekit.url,
            "LIVEKIT_API_KEY": self.livekit.api_key,
            "LIVEKIT_API_SECRET": self.livekit.api_secret,
            "LIVEKIT_SERVES_ONLY_US": "true",
            "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "0",
            "BACKEND_URL": self.url,
            "SPEECH_URL": self.speech_url,
            "SPEECH_HOST": "127.0.0.1",
            "SPEECH_PORT": str(self._speech_port),
            **(self._engine.environment if self._engine else {}),
        }

    def _all_processes(self) -> Iterator[LabProcess]:
        """In the order in which they stand on one another."""
        if cluster := self._cluster:
            yield LabProcess(
                "postgres",
                cluster.command,
                directory=self.directory,
                environment=self._environment,
                is_ready=lambda _: cluster.is_ready(),
                cwd=cluster.directory,
                account=cluster.account,
                ends_with=postgres.SHUTDOWN,
            )
        if redis := self._redis:
            yield self._process("redis", redis.command, is_ready=lambda _: redis.is_ready())
        yield self._livekit_process()
        if self.worker_names:
            yield self._process(
                "speech", _python("-m", "speech"), is_ready=_answers(f"{self.speech_url}/health")
            )
        if engine := self._engine:
            yield self._process("engine", engine.command, is_ready=lambda _: engine.is_ready())
        serve = ("-m", "uvicorn", "backend.config.asgi:application", "--no-access-log", "--host", "127.0.0.1")
        for number, port in enumerate(self._backend_ports, start=1):
            yield self._process(
                f"backend-{number}",
                _python(*serve, "--port", str(port), "--timeout-graceful-shutdown", "2"),
                is_ready=_answers(f"http://127.0.0.1:{port}/healthz"),
            )
        for number, port in enumerate(self._keeper_ports, start=1):
            yield self._process(
                f"keeper-{number}",
                _python("src/backend/manage.py", "keeper"),
                is_ready=lambda process: "keeper started" in process.log(),
                KEEPER_METRICS_PORT=str(port),
            )
        for name in self.worker_names:
            yield self._process(
                name,
                _python("-m", "agents.workers.transcriber"),
                is_ready=lambda process: "worker registered" in process.log(),
                WORKER_NAME=name,
                WORKER_METRICS_PORT=str(self._metrics_ports[name]),
                TRANSCRIPT_SPOOL_DIR=str(self.spool_of(name)),
            )

    def _livekit_process(self) -> LabProcess:
        port = self.livekit.port
        configuration: dict[str, Any] = {
            "port": port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "tcp_port": port + 1,
                "udp_port": port + 2,
                "port_range_start": 0,
                "port_range_end": 0,
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
            },
            "keys": {server.api_key: server.api_secret for server in (self.first_livekit, self.next_livekit)},
            "room": {"departure_timeout": 300},
            # As in docker/livekit.yaml: with less, LiveKit cuts everybody off when Redis is away for 7 s.
            "signal_relay": {
                "retry_timeout": "120s",
                "min_retry_interval": "500ms",
                "max_retry_interval": "2s",
            },
            "webhook": {
                "api_key": self.livekit.api_key,
                "urls": [f"{self.url}/api/v1.0/webhooks/livekit/", self.events.url],
            },
            "logging": {"level": "info", "json": True},
        }
        if self._redis:
            configuration["redis"] = {"address": self._redis.address}
        path = self.directory / "livekit.json"  # JSON is YAML
        path.write_text(json.dumps(configuration))
        bare = {name: value for name, value in self._environment.items() if not name.startswith("LIVEKIT_")}
        return LabProcess(
            "livekit",
            (livekit_binary(), "--config", str(path)),
            directory=self.directory,
            environment=bare,
            is_ready=_answers(self.livekit.http_url),
        )

    def _process(
        self, name: str, command: Sequence[str], *, is_ready: Callable[[LabProcess], bool], **environment: str
    ) -> LabProcess:
        return LabProcess(
            name,
            command,
            directory=self.directory,
            environment=self._environment | environment,
            is_ready=is_ready,
        )


def subtitles_path(room: str) -> str:
    return f"/api/v1.0/rooms/{room}/subtitles/"


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _answers(url: str) -> Callable[[LabProcess], bool]:
    def ask(_: LabProcess) -> bool:
        return _text_at(url) is not None

    return ask


def _judges_workers(port: int) -> bool:
    return "roomscribe_keeper_judges_workers 1.0" in (_text_at(f"http://127.0.0.1:{port}/metrics") or "")


def _text_at(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, http.client.HTTPException):
        pass
    return None


def _until(is_so: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        time.sleep(0.1)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
