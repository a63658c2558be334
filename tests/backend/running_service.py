"""All that serves a room, as processes: a backend, a keeper, workers that come and go; and who asks and watches."""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from livekit import api, rtc
from numpy.typing import NDArray

from contract import names, shapes
from contract.status import State, Status
from tests.backend.running_backend import ROOT, Answer, RunningBackend
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

AGENT_NAME = "test-worker"
LOOK_EVERY_S = 0.02


class RunningService:
    """`with RunningService(tmp, livekit) as service:`; without a worker until one is asked for."""

    def __init__(self, directory: Path, livekit: LiveKitServer, **environment: str) -> None:
        self.livekit, self._directory = livekit, directory
        self.backend = RunningBackend(
            directory,
            livekit,
            ROOM_SUBTITLE_AGENT_NAME=AGENT_NAME,
            LIVEKIT_SERVES_ONLY_US="true",
            LOG_LEVEL="INFO",
            **environment,
        )
        self.engine = SttDouble()
        self._running = ExitStack()
        self._saying: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "RunningService":
        with ExitStack() as starting:
            starting.enter_context(self.engine)
            starting.enter_context(self.backend)
            starting.enter_context(self._keeper())
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @contextmanager
    def worker(self, **settings: str) -> Iterator[RunningWorker]:
        name = f"worker-{time.monotonic_ns():x}"
        with RunningWorker(
            self._directory,
            livekit=self.livekit,
            backend_url=self.backend.url,
            speech_url=self.engine.url,
            name=name,
            **{
                "INTERNAL_API_SECRET": self.backend.secrets["INTERNAL_API_SECRET"],
                "ROOM_SUBTITLE_AGENT_NAME": AGENT_NAME,
                **settings,
            },
        ) as worker:
            yield worker

    @contextmanager
    def _keeper(self) -> Iterator[None]:
        with (self._directory / "keeper.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "src/backend/manage.py"), "keeper"],
                env={**self.backend.environment, "BACKEND_URL": self.backend.url},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
            try:
                yield
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    async def ask(self, method: str, room: str, identity: str, body: object = None) -> Answer:
        """One request about a room's subtitles, by somebody with a token for it."""
        return await asyncio.to_thread(
            self.backend.request,
            method,
            f"/api/v1.0/rooms/{room}/subtitles/",
            authorization=[f"Bearer {self.livekit.token(room, identity)}"],
            body=json.dumps({} if body is None else body).encode(),
        )

    async def until_speaking(self, speaker: Speaker, pcm: NDArray[np.int16]) -> None:
        """Until an engine hears what somebody has begun to say."""
        before = self.engine.connections
        saying = asyncio.create_task(speaker.say(pcm))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)
        await self.engine.until(lambda engine: engine.connections > before)

    async def until_full(self) -> None:
        """Until the backend knows that no worker can take a room."""
        async with asyncio.timeout(5):
            while (await asyncio.to_thread(self.backend.request, "GET", "/readyz")).json()["workers"][
                "with_capacity"
            ]:
                pass

    async def until_no_traces(self, room: str, *, timeout_s: float = 2) -> None:
        deadline_s = time.monotonic() + timeout_s
        while traces := await self.traces(room):
            assert time.monotonic() < deadline_s, traces

    async def traces(self, room: str) -> list[str]:
        """Agents in the room and dispatches for it, as LiveKit itself lists them."""
        async with self.livekit.api() as lkapi:
            listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
            dispatches = await lkapi.agent_dispatch.list_dispatch(room)
        agents = [p.identity for p in listed.participants if p.kind == api.ParticipantInfo.Kind.AGENT]
        return agents + [dispatch.id for dispatch in dispatches if dispatch.agent_name]


Said = tuple[str, str | None, str]
"""State, reason, language."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was so from `at` (monotonic) on."""

    at: float
    said: Said


class Watch:
    """Both sides of the truth: what the room's status topic says, and what GET answers."""

    def __init__(self, service: RunningService, room: str, identity: str) -> None:
        self._service, self._room, self._identity = service, room, identity
        self.told: list[Heard] = []
        self.answered: list[Heard] = []
        self.generation = 0
        self._changed = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()

    async def until_answered(self, state: str, reason: str | None = None, *, timeout_s: float = 10) -> Heard:
        return await self._until(self.answered, state, reason, timeout_s)

    async def until_told(self, state: str, reason: str | None = None, *, timeout_s: float = 10) -> Heard:
        return await self._until(self.told, state, reason, timeout_s)

    async def _until(self, heard: list[Heard], state: str, reason: str | None, timeout_s: float) -> Heard:
        try:
            async with asyncio.timeout(timeout_s):
                while not (heard and heard[-1].said[:2] == (state, reason)):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{(state, reason)} was not said: {self}") from None
        return heard[-1]

    def __repr__(self) -> str:
        return f"GET said {[h.said[:2] for h in self.answered]}, the room was told {[h.said[:2] for h in self.told]}"

    async def until_generation(self, generation: int, *, timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while self.generation < generation:
                self._changed.clear()
                await self._changed.wait()

    def disagreements(self, *, within_s: float) -> list[str]:
        """Whatever one side said for longer than that while the other did not say it at all."""
        now = time.monotonic()
        # A room is told nothing before the first start.
        answered = [*itertools.dropwhile(lambda heard: heard.said[0] == State.IDLE, self.answered)]
        return [
            *_unmatched("only GET said", answered, self.told, within_s=within_s, now=now),
            *_unmatched("only the room was told", self.told, answered, within_s=within_s, now=now),
        ]

    def hear(self, room: rtc.Room) -> None:
        room.register_text_stream_handler(names.TOPIC_STATUS, self._on_stream)
        room.on("data_received", self._on_data)

    async def poll(self) -> None:
        while True:
            asked_at = time.monotonic()
            answer = await self._service.ask("GET", self._room, self._identity)
            if answer.status == 200:
                state = answer.json()
                self.generation = state["generation"]
                self._note(self.answered, (state["state"], state["reason"], state["language"]), asked_at)
            await asyncio.sleep(LOOK_EVERY_S)

    def _on_stream(self, reader: rtc.TextStreamReader, _: str) -> None:
        task = asyncio.ensure_future(self._read(reader))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        with contextlib.suppress(rtc.StreamError):
            self._take(await reader.read_all())

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == names.TOPIC_STATUS and packet.participant is None:
            self._take(packet.data)

    def _take(self, json_text: str | bytes) -> None:
        status = shapes.from_json(Status, json_text)
        said = (str(status.state), str(status.reason) if status.reason else None, status.language)
        self._note(self.told, said, time.monotonic())

    def _note(self, heard: list[Heard], said: Said, at: float) -> None:
        if not heard or heard[-1].said != said:
            heard.append(Heard(at=at, said=said))
        self._changed.set()


@asynccontextmanager
async def watching(service: RunningService, room: str, identity: str = "ada") -> AsyncIterator[Watch]:
    """Somebody in the room who hears its status and asks for the state all the time."""
    watch, person = Watch(service, room, identity), rtc.Room()
    watch.hear(person)
    await person.connect(
        service.livekit.url, service.livekit.token(room, identity), rtc.RoomOptions(auto_subscribe=False)
    )
    polling = asyncio.create_task(watch.poll())
    try:
        yield watch
    finally:
        polling.cancel()
        await asyncio.wait({polling})
        await person.disconnect()


def _unmatched(
    what: str, heard: list[Heard], others: list[Heard], *, within_s: float, now: float
) -> Iterator[str]:
    """Each value of `heard` must be among `others` from at most `within_s` before to `within_s` after it was so."""
    ends = [*(later.at for later in heard[1:]), now]
    other_ends = [*(later.at for later in others[1:]), now]
    for one, end in zip(heard, ends, strict=True):
        if end - one.at <= within_s:
            continue
        late = [
            other.at
            for other, other_end in zip(others, other_ends, strict=True)
            if other.said == one.said and other.at <= one.at + within_s and other_end >= one.at
        ]
        if not late:
            yield f"{what}: {one.said} for {end - one.at:.2f} s"
