"""How long a home may be silent at each time of day before somebody should look.

Place in the flow: `processors.routines.watch` asks `due` when a silence becomes a finding, and
`fit` makes a resident's own limits once a week of what `processors.routines.history` has kept.

Rules
-----
1. The limit is a silence's length by the clock (after Cuddihy 2007): eight hours are nothing at
   seven in the morning and much at noon.  So a longer silence is never less suspicious, and a
   sensor that says nothing can only bring the finding forward.
2. Of each past day the longest silence within `NEAR` of that time counts.  The limit is what only
   one day in `DAYS_APART` would exceed, going by the longest fifth of them and an exponential
   tail, and half an hour: with few days the tail decides, with many the days themselves.
3. Only the past is learned from; hours in which nobody was at home say nothing.
4. Before `LEARNING` has passed, and whenever too few days are known, a fixed rule holds: 8 h by
   day and 12 h by night.
5. Nothing is ever silent for longer than `CAP`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from numpy.typing import NDArray

    Span = tuple[int, int]
    """From and until, in minutes since 1970 by the home's own clock."""

BIN: Final = 15
"""Minutes of a step of the clock."""
BINS: Final = 24 * 60 // BIN
CAP: Final = timedelta(hours=12)
FLOOR_MIN: Final = 180
"""No limit is shorter: a visit for two hours with a book annoys (chosen on the homes at hand)."""
BY_DAY_MIN: Final = 480
NEAR: Final = 3
"""Steps of the clock on either side: habits shift by three quarters of an hour."""
DAYS_APART: Final = 200
"""One day in so many may exceed a limit by chance; several limits are at stake each day, so that
about one false alarm in a month is meant."""
MARGIN_MIN: Final = 30
"""Added, so that the most regular sleeper may once sleep longer than ever."""
LONGEST: Final = 0.2
"""Share of the days that the tail is made of."""
FEWEST: Final = 6
"""Days below which nothing personal is said of a time of day."""
LOOK_BACK: Final = timedelta(days=60)
LEARNING: Final = timedelta(days=30)
REFIT: Final = timedelta(days=7)


class Limits(msgspec.Struct, frozen=True):
    """The longest silence that is usual, by the time of day.

    Attributes:
        minutes: For each quarter of an hour from midnight.
        days: Days that they were learned from; 0 for the fixed rule.
    """

    minutes: tuple[int, ...]
    days: int = 0


def _fixed(step: int) -> int:
    """Return the fixed rule: from 10 to 22 o'clock 8 h, else 12 h."""
    return BY_DAY_MIN if 10 * 60 <= step * BIN < 22 * 60 else int(CAP.total_seconds() // 60)


FIXED: Final = Limits(tuple(_fixed(step) for step in range(BINS)))


def local_minutes(at: datetime, zone: tzinfo) -> int:
    """Return the minutes since 1970 that the home's own clock shows."""
    return int(at.astimezone(zone).replace(tzinfo=UTC).timestamp() // 60)


def due(limits: Limits, last: datetime, zone: tzinfo) -> datetime:
    """Return when a silence that began at `last` exceeds its limit: never after `last` + `CAP`.

    The later it began, the later it is due.
    """
    last = last.replace(second=0, microsecond=0)
    began = local_minutes(last, zone)
    longest = int(CAP.total_seconds() // 60)
    for step in range(began // BIN, (began + longest) // BIN + 1):
        opens = max(step * BIN, began + limits.minutes[step % BINS])
        if opens < min((step + 1) * BIN, began + longest):
            return last + timedelta(minutes=opens - began)
    return last + CAP


def usual(limits: Limits, at: datetime, zone: tzinfo) -> timedelta:
    """Return the limit at a time of day."""
    return timedelta(minutes=limits.minutes[local_minutes(at, zone) // BIN % BINS])


def score(silence: timedelta, limit: timedelta) -> float:
    """Return how sure a finding is: 0.95 at the limit, and the more the longer."""
    return min(1 - float(0.05 ** (silence / limit)), 0.999)


def fit(silences: Sequence[Span], absences: Sequence[Span], since: int, now: int) -> Limits:
    """Learn a resident's limits from the past.

    Args:
        silences: At home, ended; shorter ones than a quarter of an hour may be left out.
        absences: When nobody was at home, or no sensor could have told.
        since: When the home began to be watched, in minutes as the spans.
        now: Present time; what lies after it is not looked at.

    Returns:
        The fixed rule where too little is known.
    """
    first = max(since, now - int(LOOK_BACK.total_seconds() // 60)) // (24 * 60) + 1
    days = now // (24 * 60) - first
    if days < FEWEST:
        return FIXED
    longest = _near(_by_step(silences, absences, first, days))
    minutes = [_limit(column[column >= 0]) for column in longest.reshape(days, BINS).T]
    return Limits(tuple(minutes), days)


def _by_step(
    silences: Sequence[Span], absences: Sequence[Span], first: int, days: int
) -> NDArray[np.float64]:
    """Return the longest silence reached in each step of the days; -1 while nobody was there."""
    start, longest = first * BINS, np.zeros(days * BINS)
    for begin, end in absences:
        longest[max(begin // BIN + 1 - start, 0) : max(end // BIN - start, 0)] = -1
    for begin, end in silences:
        steps = np.arange(max(begin // BIN, start), min(end // BIN + 1, start + len(longest)))
        reached = np.minimum((steps + 1) * BIN, end) - begin
        longest[steps - start] = np.maximum(longest[steps - start], reached)
    return longest


def _near(longest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest value within `NEAR` steps of each."""
    padded = np.pad(longest, NEAR, constant_values=-1)
    highest: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1).max(axis=1)
    return highest


def _limit(days: NDArray[np.float64]) -> int:
    """Return what one day in `DAYS_APART` exceeds; the longest allowed where few days are known."""
    longest = int(CAP.total_seconds() // 60)
    if len(days) < FEWEST:
        return longest
    ranked = np.sort(days)[::-1]
    top = max(3, int(len(days) * LONGEST))
    excess = float((ranked[:top] - ranked[top]).mean())
    beyond = ranked[top] + excess * max(np.log(top * DAYS_APART / len(days)), 0.0)
    return int(np.clip(beyond + MARGIN_MIN, FLOOR_MIN, longest))
