"""People come, speak and go while the engine drops its connections: nothing of them is left in the worker.

SOAK_S: for how many seconds, 1.7 joins in each; the 10-minute form is SOAK_S=600.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tools.bench.soak import growth_mb_an_hour, leftovers, soak

SOAK_S = float(os.environ.get("SOAK_S") or 30)
JOINS_A_SECOND = 1000 / 600
JUDGES_GROWTH_FROM_S = 300
"""Sooner a few pages are hundreds of MB an hour."""
GROWTH_LIMIT_MB_AN_HOUR = 1 if SOAK_S >= 3600 else 40
"""In ten minutes allocators still settle, which looks like 7 to 25 MB an hour; 40 would be 7 kB of each visitor."""


@pytest.mark.timeout(SOAK_S + 180)
def test_nothing_is_left_of_people_who_have_gone(tmp_path: Path) -> None:
    joins = round(SOAK_S * JOINS_A_SECOND)

    soaked = asyncio.run(
        soak(tmp_path / "soak", seconds=SOAK_S, joins=joins, drop_every_s=min(60.0, SOAK_S / 4))
    )

    assert soaked.words > joins
    assert soaked.drops
    assert leftovers(soaked) == []
    if SOAK_S >= JUDGES_GROWTH_FROM_S:
        growth = growth_mb_an_hour(soaked)
        assert growth.low <= GROWTH_LIMIT_MB_AN_HOUR, growth


@pytest.mark.timeout(180)
def test_a_task_left_behind_by_each_is_found(tmp_path: Path) -> None:
    soaked = asyncio.run(soak(tmp_path / "soak", seconds=4, joins=6, seats=2, leaks=True))

    assert "6 _leak.<locals>.left_behind" in leftovers(soaked)
