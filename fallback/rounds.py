"""The order in which people are seen, and how far they have come.  Pure.

Place in the flow: `coverage` says who is unprotected, `page` shows each helper a list and
takes the ticks, `papers` prints the same order, `drills` measures it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fallback.capacity import ALL_TARGET, HIGH_TARGET
from vigil.roster import HIGH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.roster import Resident

WEIGHT: Final = {1: 1, 2: 3, 3: 9}
"""Of a minute unprotected, by risk: one minute of a high risk outweighs a small wait of others."""


WALKERS: Final = 0.35
"""Share of helpers who go to the high-risk doors without a call: who lies on the floor answers
none, and a few long visits begun at once leave the short calls to even out the end.  Of 3,000
simulated rounds (90 residents, 20 staff) none is late with it; with calls first 7 in 100 are."""


class Result(StrEnum):
    """What a call or a visit found."""

    WELL = "well"
    HELPED = "helped"
    HOSPITAL = "hospital"
    AWAY = "away"
    NO_ANSWER = "no_answer"
    NO_ACCESS = "no_access"


SEEN: Final = frozenset({Result.WELL, Result.HELPED, Result.HOSPITAL, Result.AWAY})
"""Results after which somebody knows how the resident is; the others want another attempt."""


class Method(StrEnum):
    """How it was found."""

    PHONE = "phone"
    DOOR = "door"
    FAMILY = "family"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Check:
    """One attempt to learn how a resident is.

    Attributes:
        at: When it took place, which for a paper is before it was keyed in.
        by: Who did it.
        source: `page` or `paper`.
        form: Number of the paper form, or 0.
        fell: Whether the resident had fallen; None where nobody asked.
    """

    resident: str
    at: datetime
    by: str
    method: Method
    result: Result
    fell: bool | None = None
    note: str = ""
    source: str = "page"
    form: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A resident to be seen.

    Attributes:
        since: Unprotected since.
        due: When the target for this risk is missed.
        attempts: How often somebody has tried in vain.
        assigned: Who is to go, or None.
    """

    resident: Resident
    since: datetime
    due: datetime
    attempts: int
    assigned: str | None


def urgency(task: Task, now: datetime) -> float:
    """Return risk times minutes unprotected."""
    return WEIGHT[task.resident.risk] * max(0.0, (now - task.since) / timedelta(minutes=1))


def by_urgency(tasks: Sequence[Task], now: datetime) -> list[Task]:
    """Return the order of knocking: high risk first, then risk times minutes; who was tried goes later."""
    return sorted(
        tasks,
        key=lambda t: (t.resident.risk < HIGH, t.attempts, -urgency(t, now), _door(t.resident)),
    )


def walkers(staff: int) -> int:
    """Return how many of the helpers go to doors at once while the others telephone."""
    return math.ceil(staff * WALKERS)


def next_task(ordered: Sequence[Task], *, walks: bool) -> tuple[Task, Method] | None:
    """Return whom a helper who is free sees next, and how; None where nobody is left.

    All of the high risk come before anybody else.  Who walks takes the most urgent of them by
    the door; the others telephone, and go where nobody answered when all were called.

    Args:
        ordered: Those whom nobody is on the way to, as `by_urgency` returns them.
        walks: Whether this helper is one of the walkers.
    """
    for high in (True, False):
        group = [task for task in ordered if (task.resident.risk >= HIGH) is high]
        fresh = next((task for task in group if not task.attempts), None)
        if fresh is not None:
            return fresh, Method.DOOR if walks and high else Method.PHONE
        if group:
            return group[0], Method.DOOR
    return None


def by_way(tasks: Sequence[Task]) -> list[Task]:
    """Return the order of walking: building by building, from the top floor down."""
    return sorted(tasks, key=lambda t: _door(t.resident))


def _door(resident: Resident) -> tuple[list[tuple[bool, int, str]], int, str]:
    return (_natural(resident.building), -resident.floor, resident.home)


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """Return a key that puts building 2 before building 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def open_tasks(
    residents: Mapping[str, Resident],
    unprotected: Mapping[str, datetime],
    checks: Sequence[Check],
    assigned: Mapping[str, str],
    declared_at: datetime,
) -> list[Task]:
    """Return who is still to be seen.

    Args:
        residents: By id.
        unprotected: Residents in an unprotected interval, and since when.
        checks: What was found; counts for the interval that it lies in.
        assigned: Who goes to whom.
        declared_at: From when the targets count.
    """
    tasks = []
    for id_, since in unprotected.items():
        mine = [check for check in checks if check.resident == id_ and check.at >= since]
        if id_ in residents and not any(check.result in SEEN for check in mine):
            resident = residents[id_]
            target = HIGH_TARGET if resident.risk >= HIGH else ALL_TARGET
            tasks.append(Task(resident, since, declared_at + target, len(mine), assigned.get(id_)))
    return tasks


def share(tasks: Sequence[Task], staff: Sequence[str]) -> dict[str, str]:
    """Deal the unassigned residents out, so that each helper walks one stretch of the way.

    High risk is dealt first, evenly; whoever has the fewest residents takes the next stretch.

    Returns:
        Helper of each resident that had none.
    """
    dealt: dict[str, str] = {}
    if not staff:
        return dealt
    for wanted in (True, False):
        group = by_way([t for t in tasks if t.assigned is None and (t.resident.risk >= HIGH) is wanted])
        for number, task in enumerate(group):
            dealt[task.resident.id] = staff[number * len(staff) // len(group)]
    return dealt


@dataclass(frozen=True, slots=True)
class Progress:
    """How far people have come.

    Attributes:
        residents: In an unprotected interval.
        contacted: Of them, how many somebody has tried to reach.
        seen: Of them, how many somebody knows to be well, helped or away.
        in_time: Seen before their target.
        overdue: Not seen, and past their target.
        last_min: Minutes from the declaration to the latest of them seen; None where some are not.
    """

    residents: int
    contacted: int
    seen: int
    in_time: int
    overdue: int
    last_min: float | None


def progress(
    residents: Sequence[Resident],
    unprotected: Mapping[str, datetime],
    checks: Sequence[Check],
    declared_at: datetime,
    now: datetime,
) -> Progress:
    """Return how far people have come with these residents."""
    mine = [resident for resident in residents if resident.id in unprotected]
    first_seen: dict[str, datetime] = {}
    tried = set()
    for check in sorted(checks, key=lambda c: c.at):
        if check.resident in unprotected and check.at >= unprotected[check.resident]:
            tried.add(check.resident)
            if check.result in SEEN:
                first_seen.setdefault(check.resident, check.at)
    due = {r.id: declared_at + (HIGH_TARGET if r.risk >= HIGH else ALL_TARGET) for r in mine}
    seen = {r.id: first_seen[r.id] for r in mine if r.id in first_seen}
    last = max(seen.values(), default=None) if len(seen) == len(mine) else None
    return Progress(
        residents=len(mine),
        contacted=sum(r.id in tried for r in mine),
        seen=len(seen),
        in_time=sum(at <= due[id_] for id_, at in seen.items()),
        overdue=sum(r.id not in seen and now > due[r.id] for r in mine),
        last_min=None if last is None else (last - declared_at) / timedelta(minutes=1),
    )
