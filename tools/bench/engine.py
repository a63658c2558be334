"""The scripted engine, once for each contestant: the same program, so that a script, and its CPU, are one's own."""

import asyncio
import contextlib
from collections.abc import Iterable

from tests.support.deepgram.script import Seen
from tests.support.scripted_deepgram import ScriptedDeepgram
from tools.bench.captions import SentFinal, codes_in


class Engines:
    """`async with Engines(names) as engines:`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._engines = {name: ScriptedDeepgram() for name in names}
        self._told_until = dict.fromkeys(self._engines, 0.0)
        self._open = contextlib.ExitStack()

    async def __aenter__(self) -> "Engines":
        try:
            for engine in self._engines.values():
                await asyncio.to_thread(self._open.enter_context, engine)
        except BaseException:
            self._open.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._open.close)

    def url(self, name: str) -> str:
        return self._engines[name].url

    def pids(self) -> dict[str, int]:
        return {f"engine of {name}": engine.pid for name, engine in self._engines.items()}

    async def script(self, name: str, **changes: object) -> None:
        await asyncio.to_thread(lambda: self._engines[name].set(**changes))

    async def forget(self, name: str) -> None:
        """What was seen; the script, and every connection, too."""
        self._told_until[name] = 0.0
        await asyncio.to_thread(self._engines[name].reset)

    async def drop(self, name: str) -> None:
        """Every connection ends, as if the engine's machine were gone; new ones are taken."""
        await asyncio.to_thread(self._engines[name].drop_connections)

    async def seen(self, name: str) -> Seen:
        return await asyncio.to_thread(self._engines[name].seen)

    async def new_finals(self) -> dict[str, list[SentFinal]]:
        """Of every contestant, since it was last asked."""
        found = {}
        for name in self._engines:
            sent = [
                final for connection in (await self.seen(name)).connections for final in connection.finals
            ]
            found[name] = [
                SentFinal(at=final.at, codes=codes_in(final.text))
                for final in sent
                if final.at > self._told_until[name]
            ]
            self._told_until[name] = max((final.at for final in sent), default=self._told_until[name])
        return found
