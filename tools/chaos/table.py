"""The rows of the table: how they are registered, chosen, run and printed."""

import asyncio
import importlib
import pkgutil
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from tools.chaos.lab import Lab


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What of a deployment a row needs; rows with equal needs share one laboratory."""

    workers: int = 2
    backends: int = 2
    keepers: int = 2
    database: Literal["postgres", "sqlite"] = "postgres"
    redis: bool = True
    engine: Literal["embedded", "scripted"] = "embedded"
    environment: tuple[tuple[str, str], ...] = ()
    alone: str = ""
    """A word of one's own: a laboratory that no other row shares."""


@dataclass(frozen=True)
class Seen:
    """What a row saw, with its numbers, and whether that is what was promised."""

    text: str
    ok: bool


class Run(Protocol):
    def __call__(self, lab: "Lab", *, long: bool, short: bool) -> Awaitable[Seen]: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    fault: str
    expected: str
    run: Run
    needs: Needs
    timeout_s: float


ROWS: dict[str, Row] = {}


def row(
    id: str, *, fault: str, expected: str, needs: Needs | None = None, timeout_s: float = 300
) -> Callable[[Run], Run]:
    """`timeout_s` is of the default form; long forms get ten times as much."""

    def register(run: Run) -> Run:
        if id in ROWS:
            raise ValueError(f"{id} is there twice")
        ROWS[id] = Row(
            id=id, fault=fault, expected=expected, run=run, needs=needs or Needs(), timeout_s=timeout_s
        )
        return run

    return register


def load_rows() -> Mapping[str, Row]:
    """Every module of `rows` registers its own; in the order of their ids."""
    from tools.chaos import rows

    for module in pkgutil.iter_modules(rows.__path__):
        importlib.import_module(f"{rows.__name__}.{module.name}")
    return {id: ROWS[id] for id in sorted(ROWS, key=_order)}


def in_laboratories(rows: Iterable[Row]) -> list[tuple[Needs, list[Row]]]:
    """Rows beside those they share a laboratory with."""
    shared: dict[Needs, list[Row]] = {}
    for each in rows:
        shared.setdefault(each.needs, []).append(each)
    return list(shared.items())


async def see(row: Row, lab: "Lab", *, long: bool = False, short: bool = False) -> Seen:
    """Run it; a row that raises or takes too long is a miss."""
    try:
        async with asyncio.timeout(row.timeout_s * (10 if long else 1)):
            return await row.run(lab, long=long, short=short)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is not what was promised)
        traceback.print_exc()
        return Seen(f"{type(error).__name__}: {_one_line(error)}", False)


def markdown_head() -> str:
    return "| row | fault | expected | seen | ok |\n| --- | --- | --- | --- | --- |"


def markdown_line(row: Row, seen: Seen) -> str:
    cells = (row.id, row.fault, row.expected, seen.text, "yes" if seen.ok else "**NO**")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _order(id: str) -> tuple[Any, ...]:
    # P before F; then by number.
    return (id[0] != "P", int("".join(filter(str.isdigit, id)) or 0), id)
