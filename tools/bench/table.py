"""Scenes measure, rows judge: how both are registered, chosen and printed."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tools.bench.lab import Lab

Measured = dict[str, Any]
"""A scene's raw results: nothing but what JSON holds."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How long everything takes."""

    blocks: int
    block_s: float
    settle_s: float
    patient_s: float
    """Of the soak; the audio's continuity is looked at as long, but no longer than an hour."""
    joins: int
    capacity_rooms: int
    capacity_step_s: float
    is_short: bool = False

    @property
    def slack(self) -> float:
        """What a goal is multiplied with: a machine that runs tests is not a quiet one."""
        return 1.8 if self.is_short else 1.0


DEFAULT = Form(
    blocks=5, block_s=10, settle_s=2, patient_s=600, joins=1000, capacity_rooms=9, capacity_step_s=8
)
LONG = Form(
    blocks=9, block_s=60, settle_s=5, patient_s=4 * 3600, joins=6000, capacity_rooms=24, capacity_step_s=30
)
SHORT = Form(
    blocks=1,
    block_s=7,
    settle_s=2,
    patient_s=20,
    joins=8,
    capacity_rooms=2,
    capacity_step_s=8,
    is_short=True,
)


@dataclass(frozen=True)
class Verdict:
    """What was seen, in words, and whether the goal is met."""

    text: str
    ok: bool


class Scene(Protocol):
    def __call__(self, lab: "Lab", form: Form) -> Awaitable[Measured]: ...


Judge = Callable[[Measured, Form], Verdict]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `judge` is pure, so a saved run can be judged again."""

    id: str
    what: str
    goal: str
    scene: str
    judge: Judge


SCENES: dict[str, Scene] = {}
ROWS: dict[str, Row] = {}


def scene(name: str) -> Callable[[Scene], Scene]:
    def register(run: Scene) -> Scene:
        if name in SCENES:
            raise ValueError(f"{name} is there twice")
        SCENES[name] = run
        return run

    return register


def row(id: str, *, what: str, goal: str, scene: str) -> Callable[[Judge], Judge]:
    def register(judge: Judge) -> Judge:
        if id in ROWS:
            raise ValueError(f"{id} is there twice")
        ROWS[id] = Row(id=id, what=what, goal=goal, scene=scene, judge=judge)
        return judge

    return register


def load_rows() -> Mapping[str, Row]:
    """Every module of `scenes` registers its own; in the order of their ids."""
    from tools.bench import scenes

    for module in pkgutil.iter_modules(scenes.__path__):
        importlib.import_module(f"{scenes.__name__}.{module.name}")
    return {id: ROWS[id] for id in sorted(ROWS, key=_order)}


def scenes_of(rows: Iterable[Row]) -> list[str]:
    """In the order in which they are registered, each once."""
    wanted = {row.scene for row in rows}
    return [name for name in SCENES if name in wanted]


def judged(row: Row, measured: Mapping[str, Measured], form: Form) -> Verdict:
    """A scene that failed, or that measured less than a row needs, is a miss."""
    seen = measured.get(row.scene, {"failed": "the scene was not run"})
    if "failed" in seen:
        return Verdict(str(seen["failed"]), False)
    try:
        return row.judge(seen, form)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        return Verdict(f"not enough was measured: {type(error).__name__} {error}", False)


def markdown_head() -> str:
    return "| row | what | goal | seen | ok |\n| --- | --- | --- | --- | --- |"


def markdown_line(row: Row, verdict: Verdict) -> str:
    cells = (row.id, row.what, row.goal, verdict.text, "yes" if verdict.ok else "**NO**")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _order(id: str) -> tuple[int, str]:
    number = "".join(character for character in id.split("-")[0] if character.isdigit())
    return int(number or 0), id
