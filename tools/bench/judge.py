"""What the rows' verdicts have in common. Pure: from a scene's raw results to numbers and words."""

from collections.abc import Callable, Sequence

from tools.bench import statistics
from tools.bench.captions import FLOOR, OURS, REFERENCE
from tools.bench.statistics import Estimate
from tools.bench.table import Form, Measured, Verdict

LEAST_BLOCKS = 3


def undisturbed(blocks: Sequence[Measured], form: Form) -> list[Measured]:
    """Raises ValueError when too few are left; a short form takes what there is."""
    left = [block for block in blocks if form.is_short or not block["is_disturbed"]]
    if len(left) < (1 if form.is_short else LEAST_BLOCKS):
        raise ValueError(f"foreign processes disturbed {len(blocks) - len(left)} of {len(blocks)} blocks")
    return left


def percent(blocks: Sequence[Measured], name: str) -> list[float]:
    """Of one core, block by block."""
    return [block["percent"][name] for block in blocks]


def cpu_ratio(blocks: Sequence[Measured], name: str, *, to: str) -> Estimate:
    return statistics.ratios(percent(blocks, name), percent(blocks, to))


def cpu_verdict(
    blocks: Sequence[Measured],
    form: Form,
    *,
    reference_limit: float,
    floor_limit: float | None,
    speakers: int,
) -> Verdict:
    """Ours against the two others, and what a speaking person costs a minute."""
    left = undisturbed(blocks, form)
    to_reference = cpu_ratio(left, OURS, to=REFERENCE)
    to_floor = cpu_ratio(left, OURS, to=FLOOR)
    cost = {name: statistics.median(percent(left, name)).value for name in (OURS, REFERENCE, FLOOR)}
    cpu_s = ", ".join(f"{name} {60 * value / 100 / speakers:.2f}" for name, value in cost.items())
    rates = {
        name: statistics.median([block["captions_per_person_s"][name] for block in left]).value
        for name in (OURS, REFERENCE, FLOOR)
    }
    often = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
    ok = to_reference.value <= reference_limit * form.slack
    if floor_limit is not None:
        ok = ok and to_floor.value <= floor_limit * form.slack
    return Verdict(
        f"{to_reference} × reference, {to_floor} × floor; CPU-seconds a speaker-minute: {cpu_s}; "
        f"captions a second and person: {often}; {len(left)} blocks",
        ok,
    )


def pooled(blocks: Sequence[Measured], kind: str, name: str) -> list[float]:
    return [value for block in blocks for value in block[kind].get(name, ())]


def ms(values: Sequence[float]) -> str:
    """p50 and p95 of milliseconds, with their intervals."""
    return f"p50 {told(statistics.at_percentile(values, 50))}, p95 {told(statistics.at_percentile(values, 95))} ms"


def told(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def paired_ratio(
    ours: Sequence[float], theirs: Sequence[float], *, of: Callable[[Sequence[float]], float]
) -> Estimate:
    """Of two statistics over the same words, resampled word by word."""
    pairs = list(zip(ours, theirs, strict=True))
    return statistics.bootstrapped(
        pairs, of=lambda some: of([pair[0] for pair in some]) / of([pair[1] for pair in some])
    )
