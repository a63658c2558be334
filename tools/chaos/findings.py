"""What a row that looks at several things has found."""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.chaos.table import Seen


@dataclass(frozen=True)
class Finding:
    """Part of what a row saw."""

    text: str
    ok: bool


def together(findings: Sequence[Finding]) -> Seen:
    return Seen(
        "; ".join(f.text if f.ok else f"{f.text} MISSED" for f in findings), all(f.ok for f in findings)
    )
