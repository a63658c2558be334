"""Starting and asking, measured: click to first caption, starts over REST, reads against plain views. Prints Markdown.

- *Click to first caption*: `make run` on free ports, somebody who is talking already, and the time from the POST to a
  viewer's first caption; with a scripted engine that says a word for the first audio it gets (what is ours), and with
  the embedded recogniser (what people get). Cold: the first start after the worker was killed and has registered.
- *Starts over REST*: the backend as `make run` runs it and a real LiveKit; a new room for each start, its participant
  in it. A worker's heartbeats are sent, its jobs are not done: the answer does not wait for one.
- *Reads*: `GET rooms/{room}/subtitles/` against a plain view of the same process, in ABBA order, the backend and the
  load each pinned to a core. CPU ms are the backend's, for each request.

One machine, one clock. With `--goals` a goal that is missed is exit status 1; `--planted` slows what is measured by
100 ms, to see that happen.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import aiohttp  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402

from agents.backend_api import BackendApi  # noqa: E402
from contract.workers import WorkerHeartbeat  # noqa: E402
from tests.backend.running_backend import RunningBackend  # noqa: E402
from tests.support import stt_double  # noqa: E402
from tests.support.clips import at_level, clip  # noqa: E402
from tests.support.livekit import LiveKitServer, RunningLiveKit  # noqa: E402
from tests.support.people import Speaker, Viewer, joined  # noqa: E402
from tests.support.postgres import RunningPostgres  # noqa: E402
from tests.support.stack import RunningStack  # noqa: E402
from tools.bench_room import machine  # noqa: E402
from tools.checks import postgres_is_there  # noqa: E402

TALK = at_level(np.concatenate([clip(voice) for voice in ("slt", "rms", "awb", "kal16")]), 30_000)
TALKS_FOR_S = 1.0
"""Before the click: the speaker is in the middle of it."""
IDLE_CPU_PERCENT = 15.0
ROOMS = 100
GOALS_MS = {"warm, scripted engine": 500, "cold, scripted engine": 3000}
START_GOALS_MS = {1: 25, 10: None, 100: 250}
PLAIN, PLAIN_ROW, OURS = "plain view", "plain view that reads the row", "`GET rooms/{room}/subtitles/`"
READ_GOAL, P99_GOAL = 0.8, 3.0
LEG_S, LEGS = 10.0, "ABBAABBA"
"""A: the plain view first; B: it comes last."""
CONNECTIONS = 8
PLANTED_S = 0.1


@dataclass
class Timings:
    """Seconds, how many requests failed, and with which status."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    statuses: set[int] = field(default_factory=set)
    backend_cpu_s: float = 0.0

    def cpu_ms(self) -> float:
        """Of the backend, for each request: hardly touched by what else the machine does."""
        return 1000 * self.backend_cpu_s / len(self.seconds)

    def note(self, seconds: float, *, status: int, wanted: int) -> None:
        self.seconds.append(seconds)
        if status != wanted:
            self.errors += 1
            self.statuses.add(status)

    def failures(self) -> str:
        return f"{self.errors} ({', '.join(map(str, sorted(self.statuses)))})" if self.errors else "0"

    def ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Foreign:
    """What share of the machine others used meanwhile: above 5 % the times are theirs too."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_s, self._own_s = self._seconds()

    def __str__(self) -> str:
        busy_s, own_s = self._seconds()
        foreign_s = max(0.0, busy_s - self._busy_s - (own_s - self._own_s))
        share = foreign_s / (time.monotonic() - self._began) / (os.cpu_count() or 1)
        return f"Other processes used {100 * share:.0f} % of the machine meanwhile."

    @staticmethod
    def _seconds() -> tuple[float, float]:
        times = psutil.cpu_times()
        return times.user + times.nice + times.system + times.softirq, _cpu_s(os.getpid())


def bootstrap_ci_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """95 % of the medians of samples drawn again."""
    drawn = np.random.default_rng(1).choice(np.array(seconds), (2000, len(seconds)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low) * 1000, float(high) * 1000


# ── click to first caption


async def click(http: aiohttp.ClientSession, stack: RunningStack, room: str) -> float:
    """One start, and the seconds from the POST to the first caption a viewer gets."""
    server = stack.livekit
    url = f"{stack.base_url}/api/v1.0/rooms/{room}/subtitles/"
    headers = {"Authorization": f"Bearer {server.token(room, 'viewer')}"}
    async with Viewer(server, room) as viewer, Speaker(server, room, "ada") as ada:
        talking = asyncio.create_task(ada.say(TALK))
        await asyncio.sleep(TALKS_FOR_S)
        clicked = time.monotonic()
        async with http.post(url, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        caption = await viewer.next_caption(timeout_s=30)
        async with http.delete(url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        talking.cancel()
        await asyncio.wait({talking})
    return caption.at - clicked


async def at_rest(pid: int) -> None:
    """Until a process and its children have nothing to do: then the next job's process is warm."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        before, began = _cpu_s(pid), time.monotonic()
        await asyncio.sleep(1)
        if 100 * (_cpu_s(pid) - before) / (time.monotonic() - began) < IDLE_CPU_PERCENT:
            return
    raise RuntimeError("the worker does not come to rest")


def _cpu_s(pid: int) -> float:
    total = 0.0
    for process in (parent := psutil.Process(pid), *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # its own, and of children that have ended
    return total


async def restarted_worker(stack: RunningStack) -> None:
    """Kill it; until the next one takes jobs."""
    registered = stack.log("subtitles").count("worker registered")
    os.kill(stack.pid("subtitles"), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not (stack.log("subtitles").count("worker registered") > registered and stack.is_ready()):
        if time.monotonic() > deadline:
            raise RuntimeError("the worker does not come back")
        await asyncio.sleep(0.02)


async def clicks(stack: RunningStack, *, warm: int, cold: int, engine: str) -> dict[str, Timings]:
    found = {f"warm, {engine}": Timings(), f"cold, {engine}": Timings()}
    rooms = (f"bench-click-{number}" for number in itertools.count())
    async with aiohttp.ClientSession() as http:
        for _ in range(warm):
            await at_rest(stack.pid("subtitles"))
            found[f"warm, {engine}"].seconds.append(await click(http, stack, next(rooms)))
        for _ in range(cold):
            await at_rest(stack.pid("subtitles"))
            await restarted_worker(stack)
            found[f"cold, {engine}"].seconds.append(await click(http, stack, next(rooms)))
    return found


def measure_clicks(*, warm: int, cold: int, planted: bool) -> dict[str, Timings]:
    found: dict[str, Timings] = {}
    stt_double.FIRST_WORD_AFTER_BYTES = 1
    with stt_double.SttDouble() as engine, _stack(SPEECH_URL=engine.url) as stack:
        found |= asyncio.run(clicks(stack, warm=warm, cold=cold, engine="scripted engine"))
    with _stack() as stack:
        found |= asyncio.run(clicks(stack, warm=warm // 2, cold=0, engine="embedded recogniser"))
    for timings in found.values() if planted else ():
        timings.seconds = [seconds + PLANTED_S for seconds in timings.seconds]
    return {name: timings for name, timings in found.items() if timings.seconds}


@contextlib.contextmanager
def _stack(**environment: str) -> Iterator[RunningStack]:
    with tempfile.TemporaryDirectory() as directory, RunningStack(Path(directory), **environment) as stack:
        yield stack


# ── starts over REST


@contextlib.contextmanager
def _backend(database_url: str | None, **environment: str) -> Iterator[RunningBackend]:
    given = {"DATABASE_URL": database_url} if database_url else {}
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningLiveKit(Path(directory) / "livekit") as livekit,
        RunningBackend(Path(directory), livekit, LOG_LEVEL="INFO", **given, **environment) as backend,
    ):
        yield backend


@contextlib.asynccontextmanager
async def _a_worker(backend: RunningBackend) -> AsyncIterator[None]:
    """One that says it has room for everybody."""

    async def beat(worker: BackendApi) -> None:
        while True:
            await worker.heartbeat(WorkerHeartbeat(capacity=1000, draining=False, engines=("embedded",)))
            await asyncio.sleep(1)

    secret = backend.secrets["INTERNAL_API_SECRET"]
    async with BackendApi(base_url=backend.url, worker="bench", secret=secret) as worker:
        beating = asyncio.create_task(beat(worker))
        await asyncio.sleep(0.5)
        try:
            yield
        finally:
            beating.cancel()


@contextlib.asynccontextmanager
async def _people(server: LiveKitServer, rooms: Iterable[str]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as inside:
        for room in rooms:
            await inside.enter_async_context(joined(server, room, "ada"))
        yield


class Client:
    """Somebody's REST client: a connection of its own."""

    def __init__(self, http: aiohttp.ClientSession, backend: RunningBackend, room: str) -> None:
        self._http, self._url = http, f"{backend.url}/api/v1.0/rooms/{room}/subtitles/"
        self._headers = {"Authorization": f"Bearer {backend.livekit.token(room, 'ada')}"}

    async def start(self, into: Timings, *, planted: bool) -> None:
        began = time.perf_counter()
        async with self._http.post(self._url, headers=self._headers) as answer:
            await answer.read()
            if planted:
                await asyncio.sleep(PLANTED_S)
            into.note(time.perf_counter() - began, status=answer.status, wanted=201)

    async def stop(self) -> None:
        while True:
            async with self._http.delete(self._url, headers=self._headers) as answer:
                body = await answer.json()
                if answer.status == 200 and body["state"] == "idle":
                    return
            await asyncio.sleep(0.1)


async def starts(backend: RunningBackend, *, planted: bool) -> dict[int, Timings]:
    found = {clients: Timings() for clients in START_GOALS_MS}
    rooms = [f"bench-start-{number}" for number in range(ROOMS)]
    connector = aiohttp.TCPConnector(limit=ROOMS)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        _people(backend.livekit, rooms),
        _a_worker(backend),
    ):
        everybody = [Client(http, backend, room) for room in rooms]
        await everybody[0].start(Timings(), planted=False)  # what is loaded at the first request is loaded
        await everybody[0].stop()
        for clients, timings in found.items():
            everybody_once = [everybody[at : at + clients] for at in range(0, ROOMS, clients)]
            for together in everybody_once if clients < ROOMS else everybody_once * 2:
                before_s = _cpu_s(backend.pid)
                await asyncio.gather(*(client.start(timings, planted=planted) for client in together))
                timings.backend_cpu_s += _cpu_s(backend.pid) - before_s
                for client in together:
                    await client.stop()
    return found


# ── reads


@dataclass
class Reads:
    """One view over all its legs."""

    per_s: list[float] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)


async def read_for(
    seconds: float, http: aiohttp.ClientSession, urls: Sequence[str], headers: Sequence[dict[str, str]]
) -> tuple[float, Timings]:
    """Requests a second over all connections, each asking again as soon as it is answered."""
    timings, ends = Timings(), time.perf_counter() + seconds

    async def one(url: str, header: dict[str, str]) -> None:
        while (began := time.perf_counter()) < ends:
            async with http.get(url, headers=header) as answer:
                await answer.read()
                timings.note(time.perf_counter() - began, status=answer.status, wanted=200)

    began = time.perf_counter()
    await asyncio.gather(*(one(url, header) for url, header in zip(urls, headers, strict=True)))
    return len(timings.seconds) / (time.perf_counter() - began), timings


async def reads(backend: RunningBackend, leg_s: float) -> dict[str, Reads]:
    room = "bench-read"
    names = [f"person-{number}" for number in range(CONNECTIONS)]
    ours = f"{backend.url}/api/v1.0/rooms/{room}/subtitles/"
    views = {
        PLAIN: f"{backend.url}/bench/plain/{room}/",
        PLAIN_ROW: f"{backend.url}/bench/row/{room}/",
        OURS: ours,
    }
    found = {name: Reads() for name in views}
    headers = [{"Authorization": f"Bearer {backend.livekit.token(room, name)}"} for name in names]
    async with contextlib.AsyncExitStack() as inside:
        for name in names:
            await inside.enter_async_context(joined(backend.livekit, room, name))
        http = await inside.enter_async_context(aiohttp.ClientSession())
        await inside.enter_async_context(_a_worker(backend))
        async with http.post(ours, headers=headers[0]) as answer:
            assert answer.status == 201, await answer.text()
        for leg in (None, *LEGS):  # the first warms up and is not counted
            for name in views if leg in (None, "A") else reversed(views):
                before_s = _cpu_s(backend.pid)
                per_s, timings = await read_for(leg_s, http, [views[name]] * CONNECTIONS, headers)
                timings.backend_cpu_s = _cpu_s(backend.pid) - before_s
                if leg is None:
                    continue
                found[name].per_s.append(per_s)
                found[name].timings.seconds += timings.seconds
                found[name].timings.errors += timings.errors
                found[name].timings.statuses |= timings.statuses
                found[name].timings.backend_cpu_s += timings.backend_cpu_s
    return found


def pinned(backend: RunningBackend) -> None:
    """The backend on one core, the load on another, LiveKit wherever it likes."""
    cores = psutil.Process().cpu_affinity()
    if len(cores) > 1:
        psutil.Process(backend.pid).cpu_affinity(cores[:1])
        psutil.Process().cpu_affinity(cores[1:])


# ── what is said of it


def click_rows(found: dict[str, Timings]) -> list[str]:
    lines = ["| from the POST to the first caption | n | median ms (95 % CI) | p95 ms | goal, median ms |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, timings in found.items():
        low, high = bootstrap_ci_ms(timings.seconds)
        goal = GOALS_MS.get(name, "-")
        lines.append(
            f"| {name} | {len(timings.seconds)} | {timings.ms(0.5):.0f} ({low:.0f} to {high:.0f}) "
            f"| {timings.ms(0.95):.0f} | {goal} |"
        )
    return lines


def start_rows(found: dict[int, Timings], database: str) -> list[str]:
    return [
        f"| {database} | {clients} | {len(timings.seconds)} | {timings.ms(0.5):.1f} | {timings.ms(0.95):.1f} "
        f"| {START_GOALS_MS[clients] or '-'} | {timings.cpu_ms():.1f} | {timings.failures()} |"
        for clients, timings in found.items()
    ]


def ratio(one: Reads, plain: Reads) -> float:
    """The median of leg by leg."""
    return statistics.median(a / b for a, b in zip(one.per_s, plain.per_s, strict=True))


def read_rows(found: dict[str, Reads], database: str) -> list[str]:
    plain = found[PLAIN]
    lines = []
    for name, one in found.items():
        speed = f"{statistics.median(one.per_s):.0f} | {ratio(one, plain):.2f}"
        delays = f"{one.timings.ms(0.5):.1f} | {one.timings.ms(0.99):.1f} | {one.timings.cpu_ms():.1f}"
        lines.append(f"| {database} | {name} | {speed} | {delays} | {one.timings.failures()} |")
    return lines


def databases(names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    if "sqlite" in names:
        yield "SQLite", None
    if "postgres" in names:
        with RunningPostgres() as url:
            yield "PostgreSQL (no fsync)", url


def missed(
    clicked: dict[str, Timings],
    started: dict[str, dict[int, Timings]],
    read: dict[str, dict[str, Reads]],
) -> list[str]:
    """Goals that were not met."""
    late = [name for name, timings in clicked.items() if timings.ms(0.5) > GOALS_MS.get(name, 1e9)]
    for database, found in started.items():
        for clients, timings in found.items():
            if timings.errors or timings.ms(0.95) > (START_GOALS_MS[clients] or 1e9):
                late.append(f"{clients} clients, {database}")
    for database, views in read.items():
        plain, ours = views[PLAIN], views[OURS]
        is_slow = ratio(ours, plain) < READ_GOAL or ours.timings.ms(0.99) > P99_GOAL * plain.timings.ms(0.99)
        if is_slow or ours.timings.errors:
            late.append(f"reads, {database}")
    return late


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default="clicks,starts,reads")
    both = "sqlite,postgres" if postgres_is_there() else "sqlite"
    parser.add_argument("--databases", default=both)
    parser.add_argument("--warm", type=int, default=30)
    parser.add_argument("--cold", type=int, default=10)
    parser.add_argument("--leg-s", type=float, default=LEG_S)
    parser.add_argument("--goals", action="store_true")
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    parts, names = options.parts.split(","), options.databases.split(",")

    print(f"Machine: {machine()}.\n")
    clicked: dict[str, Timings] = {}
    started: dict[str, dict[int, Timings]] = {}
    read: dict[str, dict[str, Reads]] = {}
    if "clicks" in parts:
        foreign = Foreign()
        clicked = measure_clicks(warm=options.warm, cold=options.cold, planted=options.planted)
        print("\n".join(click_rows(clicked)), f"\n\n{foreign}\n", flush=True)
    if "starts" in parts:
        print("| database | clients at once | starts | median ms | p95 ms | goal, p95 ms | CPU ms | errors |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        foreign = Foreign()
        for database, url in databases(names):
            with _backend(url) as backend:
                started[database] = asyncio.run(starts(backend, planted=options.planted))
            print("\n".join(start_rows(started[database], database)), flush=True)
        print(f"\n{foreign}\n")
    if "reads" in parts:
        print("| database | view | requests/s | of the plain view's | median ms | p99 ms | CPU ms | errors |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        foreign = Foreign()
        site = {"DJANGO_SETTINGS_MODULE": "tools.bench_site.settings", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        for database, url in databases(names):
            with _backend(url, **site) as backend:
                pinned(backend)
                read[database] = asyncio.run(reads(backend, options.leg_s))
            print("\n".join(read_rows(read[database], database)), flush=True)
        print(f"\n{foreign}\n")
    late = missed(clicked, started, read)
    for goal in late:
        print(f"Missed: {goal}")
    return 1 if late and options.goals else 0


if __name__ == "__main__":
    sys.exit(main())
