"""Simulated people who see to residents, by the order that `fallback.rounds` gives them.

Their times are simulated and labelled so: a call takes a minute, a door three, and of ten
residents four answer the telephone (issue 8).  Everything else (who is next, and how, who
counts as seen) is the code that real helpers use.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fallback.capacity import ANSWER, CALL, DOOR
from fallback.rounds import Check, Method, Result, Task, by_urgency, next_task, walkers
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
    checks = Round(by_urgency(tasks, declared_at), staff, declared_at, rng).walk()
    return Contacted(checks, _last(checks, tasks, declared_at, high=True), _last(checks, tasks, declared_at))


class Round:
    """One round of simulated helpers.

    Args:
        ordered: Whom they see, most urgent first.
        staff: How many helpers there are.
        begun_at: When all of them begin.
        rng: Decides who answers, and who has fallen.
    """

    def __init__(self, ordered: list[Task], staff: int, begun_at: datetime, rng: Random) -> None:
        self._waiting = ordered
        self._walkers = walkers(staff)
        self._rng = rng
        self._checks: list[Check] = []
        # When each is free again, and who did not answer; those without news come last in a minute.
        self._busy: list[tuple[datetime, bool, int, Task | None]] = [
            (begun_at, True, number, None) for number in range(staff)
        ]

    def walk(self) -> list[Check]:
        """Return what they found, in the order of their starting out."""
        heapq.heapify(self._busy)
        while self._busy:
            now, _, helper, unanswered = heapq.heappop(self._busy)
            if unanswered is not None:
                self._waiting.append(unanswered)
            self._send(helper, now)
        return self._checks

    def _send(self, helper: int, now: datetime) -> None:
        found = next_task(self._waiting, walks=helper < self._walkers)
        if found is None:
            self._wait(helper)
            return
        task, method = found
        self._waiting.remove(task)
        result = self._answer() if method is Method.PHONE else self._open()
        done = now + (CALL if method is Method.PHONE else DOOR)
        self._checks.append(Check(task.resident.id, done, f"helper {helper + 1}", method, result))
        again = replace(task, attempts=task.attempts + 1) if result is Result.NO_ANSWER else None
        heapq.heappush(self._busy, (done, again is None, helper, again))

    def _wait(self, helper: int) -> None:
        """Wait for the next call to end, which may leave a door; without any, this helper is done."""
        calls = [until for until, _, _, unanswered in self._busy if unanswered is not None]
        if calls:
            heapq.heappush(self._busy, (min(calls), True, helper, None))

    def _answer(self) -> Result:
        return Result.WELL if self._rng.random() < ANSWER else Result.NO_ANSWER

    def _open(self) -> Result:
        return Result.HELPED if self._rng.random() < FELL else Result.WELL


def _last(checks: list[Check], tasks: list[Task], declared_at: datetime, *, high: bool = False) -> float:
    wanted = {task.resident.id for task in tasks if task.resident.risk >= HIGH or not high}
    # "Contacted" is seen: a telephone that rings in vain contacts nobody.
    seen = [c.at for c in checks if c.resident in wanted and c.result is not Result.NO_ANSWER]
    return round((max(seen) - declared_at) / timedelta(minutes=1), 2) if seen else 0.0
