"""Medians, intervals and slopes. Pure."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

RESAMPLES = 2_000
LEAST_RESAMPLES = 200
WORK_LIMIT = 400_000
"""Values drawn in all: with thousands of them fewer resamples do."""
SLOPE_POINTS = 60
"""Pairs grow with the square."""
SEED = 1
"""Fixed, so that the same measurements always give the same interval."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many of a hundred do not exceed; of few values, the worst."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def median(values: Sequence[float]) -> Estimate:
    return bootstrapped(values, of=statistics.median)


def at_percentile(values: Sequence[float], percent: float) -> Estimate:
    return bootstrapped(values, of=lambda some: percentile(some, percent))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """The median of the ratios of neighbours, so that a busy minute counts for both."""
    return median([over / under for over, under in zip(numerators, denominators, strict=True) if under > 0])


def bootstrapped(values: Sequence[T], *, of: Callable[[Sequence[T]], float], least: int = 1) -> Estimate:
    """The statistic `of` the values, with its percentile bootstrap interval; not a number for too few of them."""
    if len(values) < least:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, n=len(values))
    chance = random.Random(SEED)
    resamples = min(RESAMPLES, max(LEAST_RESAMPLES, WORK_LIMIT // len(values)))
    found = sorted(of(chance.choices(values, k=len(values))) for _ in range(resamples))
    return Estimate(value=of(values), low=percentile(found, 2.5), high=percentile(found, 97.5), n=len(values))


def slope(points: Sequence[tuple[float, float]]) -> Estimate:
    """Theil and Sen's: the median of the slopes between all pairs; the interval is that of resampled points.

    A few values far off, as memory has when a process starts beside it, move it little.
    """
    step = len(points) // SLOPE_POINTS + 1
    return bootstrapped(points[::step], of=_theil_sen, least=3)


def _theil_sen(points: Sequence[tuple[float, float]]) -> float:
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later[0] != earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0
