"""How rows put numbers into words."""

import math
from collections.abc import Sequence


def p95(values: Sequence[float]) -> float:
    """The smallest value that 95 of 100 do not exceed; of few values, the worst."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def worst(values: Sequence[float]) -> str:
    return f"{seconds(max(values))} at worst of {len(values)}"
