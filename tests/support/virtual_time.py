"""An event loop whose time is only counted: it passes while everybody waits, and then at once."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code without sockets or threads: the tasks are real, the same each time, and nobody waits for hours."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._turns_left = 0
        self._interruption: Callable[[], object] | None = None
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        """As if so much time had passed."""
        self._now_s += seconds

    def after_turns(self, turns: int, interruption: Callable[[], object]) -> None:
        """Call it once tasks have had so many turns: each `await` of theirs can so be met."""
        self._turns_left, self._interruption = turns, interruption

    def turn(self) -> bool:
        """Whether somebody has just been interrupted."""
        self._turns_left -= 1
        if self._turns_left > 0 or self._interruption is None:
            return False
        self._interruption()
        self._interruption = None
        return True

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Whatever is still to happen."""
        return [handle for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if self._loop.turn():
            return super().select(0)
        if timeout is None:
            raise AssertionError("everybody waits for somebody else")
        if timeout > 0:
            self._loop.pass_time(timeout)
        return super().select(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    """To its end, in time of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main)
