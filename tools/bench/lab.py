"""Where the bench runs: LiveKit, engines, people, viewers and the contestants' workers, each a process of its own."""

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.backend_double import BackendDouble
from tests.support.livekit import RunningLiveKit
from tools.bench.captions import FLOOR, OURS, REFERENCE, SentFinal, codes_in
from tools.bench.child import Child
from tools.bench.contestants import Contestant, Framework, Ours, floor, reference
from tools.bench.engine import Engines

PLANTS = ("", "slow", "dropped_final", "leaked_task")
PLANTED_MS = 100
PLANTED_DROP_EVERY = 3
"""Of the finals of ours, between LiveKit and the viewer: one that the engine withholds, ours makes up for."""


class Lab:
    """`async with Lab(directory) as lab:`; all of it on free ports of this machine."""

    def __init__(self, directory: Path, *, plant: str = "") -> None:
        self.directory, self.plant = directory, plant
        self._numbers = itertools.count(1)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Lab":
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._livekit_process = RunningLiveKit(self.directory)
            self.livekit = await asyncio.to_thread(self._livekit_process.__enter__)
            self._open.callback(self._livekit_process.__exit__, None, None, None)
            self.backend = self._open.enter_context(BackendDouble())
            self.engines = await self._open.enter_async_context(Engines((OURS, REFERENCE)))
            self.realtime_engine = await self.child("realtime_engine")
            self._realtime_url = await self.realtime_engine.ask("url")
            self.crowd = await self.child("crowd")
            drops = PLANTED_DROP_EVERY if self.plant == "dropped_final" else 0
            self.audience = await self.child("audience", str(drops))
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def child(self, module: str, *arguments: str) -> Child:
        """Ended with the lab."""
        log = self.directory / f"{module}.log"
        return await self._open.enter_async_context(Child(f"tools.bench.{module}", *arguments, log=log))

    def new_room(self) -> str:
        return f"bench-{next(self._numbers)}"

    @property
    def surroundings(self) -> dict[str, int]:
        """Main processes of the load generator and of what all contestants share."""
        return {
            "livekit": self._livekit_process._process.pid,
            **self.engines.pids(),
            "realtime engine": self.realtime_engine.pid,
            "people": self.crowd.pid,
            "viewers": self.audience.pid,
            "bench": os.getpid(),
        }

    @asynccontextmanager
    async def contestants(
        self, *names: str, embedded: bool = False, **settings: str
    ) -> AsyncIterator[dict[str, Contestant]]:
        """New workers, started at once; `settings` are ours alone."""
        made: dict[str, Ours | Framework] = {
            name: self._contestant(name, embedded=embedded, **settings) for name in names
        }
        with contextlib.ExitStack() as running:
            started = await asyncio.gather(
                *(asyncio.to_thread(contestant.worker.__enter__) for contestant in made.values())
            )
            for worker in started:
                running.callback(worker.__exit__, None, None, None)
            yield dict(made)

    def _contestant(self, name: str, *, embedded: bool, **settings: str) -> "Ours | Framework":
        if name == REFERENCE:
            return reference(
                self.directory, livekit=self.livekit, base_url=self.engines.url(name), api_key=name
            )
        if name == FLOOR:
            return floor(self.directory, livekit=self.livekit)
        engine = (
            {"STT_PROVIDER": "deepgram", "STT_BASE_URL": self.engines.url(name), "STT_API_KEY": name}
            if not embedded
            else {"SPEECH_URL": self._realtime_url}
        )
        return Ours(
            self.directory,
            livekit=self.livekit,
            backend=self.backend,
            engine="embedded" if embedded else "deepgram",
            **engine,
            **settings,
        )

    async def script(self, *, delay_ms: float) -> None:
        """What the evaluation knows; a plant adds what it does not."""
        planted_ms = PLANTED_MS if self.plant == "slow" else 0
        await self.engines.script(REFERENCE, delay_ms=delay_ms, final_delay_ms=delay_ms)
        ours_ms = delay_ms + planted_ms
        await self.engines.script(OURS, delay_ms=ours_ms, final_delay_ms=ours_ms)
        await self.realtime_engine.ask("script", delay_ms=ours_ms)

    async def sent_finals(self, *, embedded: bool = False) -> dict[str, list[SentFinal]]:
        """Since they were last asked for."""
        if not embedded:
            return await self.engines.new_finals()
        told = await self.realtime_engine.ask("seen")
        return {OURS: [SentFinal(at=final["at"], codes=codes_in(final["text"])) for final in told]}


def tell(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)
