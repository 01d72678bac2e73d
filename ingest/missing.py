"""What is missing for good, as far as one can tell: the pure half of `ingest.watch`.

An event on its way leaves a gap that closes within seconds; one that was there at the last look
as well is something an operator wants to know of (`python -m ingest gaps`, and a metric).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from vigil.store.gaps import Gap

if TYPE_CHECKING:
    from collections.abc import Iterable


def lasting(before: Iterable[Gap], now: Iterable[Gap]) -> list[Gap]:
    """Return what was missing at both looks, in the order of the later one."""
    earlier: defaultdict[tuple[str, str, str], list[Gap]] = defaultdict(list)
    for gap in before:
        earlier[gap.node, gap.boot, gap.lane].append(gap)
    return [
        Gap(gap.node, gap.boot, gap.lane, first, last)
        for gap in now
        for old in earlier[gap.node, gap.boot, gap.lane]
        if (first := max(gap.first, old.first)) <= (last := min(gap.last, old.last))
    ]


def count(gaps: Iterable[Gap]) -> dict[str, int]:
    """Return how many sequence numbers are missing, by lane."""
    missing: dict[str, int] = defaultdict(int)
    for gap in gaps:
        missing[gap.lane] += gap.last - gap.first + 1
    return dict(missing)
