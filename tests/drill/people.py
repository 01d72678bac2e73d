"""Simulated people who see to residents, by the order that `fallback.rounds` gives them.

Their times are simulated and labelled so: a call takes a minute, a door three, and of ten
residents four answer the telephone (issue 8).  Everything else (who is next, who counts as
seen, how far they are) is the code that real helpers use.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fallback.capacity import ANSWER, CALL, DOOR
from fallback.rounds import Check, Method, Result, Task, by_urgency
from vigil.roster import HIGH

if TYPE_CHECKING:
    from random import Random

FELL = 0.01
"""Share of residents whom the door finds fallen."""


@dataclass(frozen=True)
class Contacted:
    """How long it took, in simulated minutes after the declaration."""

    checks: list[Check]
    high_max_min: float
    all_max_min: float


def see_everybody(tasks: list[Task], staff: int, declared_at: datetime, rng: Random) -> Contacted:
    """Let helpers work until everybody is seen; whoever is free takes the next task."""
    calls = by_urgency(tasks, declared_at)
    queues = {
        True: [t for t in calls if t.resident.risk >= HIGH],
        False: [t for t in calls if t.resident.risk < HIGH],
    }
    free = [(declared_at, number) for number in range(staff)]
    heapq.heapify(free)
    checks: list[Check] = []
    for group in (True, False):
        doors = [task for task in queues[group] if not _phoned(task, free, checks, rng)]
        for task in doors:
            _visit(task, free, checks, rng)
    return Contacted(checks, _last(checks, tasks, declared_at, high=True), _last(checks, tasks, declared_at))


def _phoned(task: Task, free: list[tuple[datetime, int]], checks: list[Check], rng: Random) -> bool:
    answered = rng.random() < ANSWER
    result = Result.WELL if answered else Result.NO_ANSWER
    checks.append(_check(task, free, CALL, Method.PHONE, result))
    return answered


def _visit(task: Task, free: list[tuple[datetime, int]], checks: list[Check], rng: Random) -> None:
    fell = rng.random() < FELL
    checks.append(_check(task, free, DOOR, Method.DOOR, Result.HELPED if fell else Result.WELL))


def _check(
    task: Task, free: list[tuple[datetime, int]], takes: timedelta, method: Method, result: Result
) -> Check:
    begun, helper = heapq.heappop(free)
    done = begun + takes
    heapq.heappush(free, (done, helper))
    return Check(task.resident.id, done, f"helper {helper + 1}", method, result)


def _last(checks: list[Check], tasks: list[Task], declared_at: datetime, *, high: bool = False) -> float:
    wanted = {task.resident.id for task in tasks if task.resident.risk >= HIGH or not high}
    # "Contacted" is seen: a telephone that rings in vain contacts nobody.
    seen = [c.at for c in checks if c.resident in wanted and c.result is not Result.NO_ANSWER]
    return round((max(seen) - declared_at) / timedelta(minutes=1), 2) if seen else 0.0
