"""How burden, effect and reliability went over time: one value a stretch, by the hour or by the day.

Neighbours: `vigil.store.effect` counts between edges, `api.effect` has the same figures for the whole time,
`api.console.curves` draws.  Days are the community's.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from api.burden import burden, share
from api.escalation.worker import read_rota
from vigil.store import effect

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from vigil.store.board import Scope
    from vigil.store.effect import Stretch
    from vigil.store.pool import Connection

HOUR: Final = timedelta(hours=1)
BY_HOUR_UP_TO: Final = timedelta(days=2)
"""Up to here a point is an hour, beyond it a day."""
MOST_LINES: Final = 6
"""Detectors that are drawn: those with the most alerts that somebody has judged."""
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over time; `of` is what it is of: a detector, a purpose."""

    figure: str
    of: str
    values: Values


@dataclass(frozen=True, slots=True)
class Course:
    """Lines over the same stretches.

    Attributes:
        edges: Beginnings of the stretches, and the end of the last one.
    """

    edges: tuple[datetime, ...]
    lines: tuple[Line, ...]

    def of(self, *figures: str) -> tuple[Line, ...]:
        """Return the lines of some figures."""
        return tuple(line for line in self.lines if line.figure in figures)


def edges_of(since: datetime, until: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the beginnings of hours or of local days in a stretch of time, and its end."""
    if until - since <= BY_HOUR_UP_TO:
        count = -(-(until - since) // HOUR)
        return (*(since + n * HOUR for n in range(count)), until)
    midnight = since.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=n) for n in range(1, (until - since).days + 2)]
    return (since, *(day.astimezone(since.tzinfo) for day in days if since < day < until), until)


async def course(connection: Connection, stretch: Stretch, scope: Scope, zone: ZoneInfo) -> Course:
    """Compute every figure for each hour or day of a stretch of time."""
    edges = edges_of(stretch.since, stretch.until, zone)
    size, asked = len(edges) - 1, list(edges)
    buckets = {one.n: one for one in await effect.course(connection, stretch, scope, asked)}
    lines = [
        Line("alerts", "", _filled(size, {n: one.alerts for n, one in buckets.items()}, 0)),
        Line("false", "", _filled(size, {n: one.false for n, one in buckets.items()}, 0)),
        Line("taken_p50_s", "", _filled(size, {n: one.p50_s for n, one in buckets.items()})),
        Line("taken_p95_s", "", _filled(size, {n: one.p95_s for n, one in buckets.items()})),
        Line("burden", "", await _burden(connection, stretch, scope, edges)),
        *_precision(size, await effect.precision_course(connection, stretch, scope, asked)),
        Line("heard", "", _heard(edges, await effect.uptime_course(connection, asked))),
        *_by_name("agreed", size, await effect.consent_course(connection, asked)),
    ]
    return Course(edges, tuple(lines))


def _filled(size: int, found: dict[int, float | None], nothing: float | None = None) -> Values:
    return tuple(found.get(n, nothing) for n in range(1, size + 1))


async def _burden(
    connection: Connection, stretch: Stretch, scope: Scope, edges: tuple[datetime, ...]
) -> Values:
    """Return alarms per officer and 10 minutes of each stretch; None where nobody had duty."""
    told = await effect.told(connection, stretch, scope)
    shifts = (await read_rota(connection, stretch.since)).shifts
    parts = itertools.pairwise(edges)
    return tuple(burden([one for one in told if a <= one.at < b], shifts, a, b).mean for a, b in parts)


def _precision(size: int, found: Iterable[tuple[int, str, int, int]]) -> list[Line]:
    by: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
    judged: defaultdict[str, int] = defaultdict(int)
    for n, detector, true, false in found:
        by[detector][n] = share(true, false)
        judged[detector] += true + false
    chosen = sorted(by, key=lambda name: -judged[name])[:MOST_LINES]
    return [Line("precision", name, _filled(size, by[name])) for name in chosen]


def _heard(edges: tuple[datetime, ...], found: list[tuple[int, int, int]]) -> Values:
    """Return the share of hours with a sign of life, over the devices that were heard at all."""
    devices = max((count for _, count, _ in found), default=0)
    by = {n: hours for n, _, hours in found}
    parts = list(itertools.pairwise(edges))
    return tuple(
        None if not devices else min(1.0, by.get(n, 0) / (devices * max((b - a) / HOUR, 1)))
        for n, (a, b) in enumerate(parts, 1)
    )


def _by_name(figure: str, size: int, found: Iterable[tuple[int, str, int]]) -> list[Line]:
    by: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
    for n, name, count in found:
        by[name][n] = count
    return [Line(figure, name, _filled(size, values, 0)) for name, values in by.items()]
