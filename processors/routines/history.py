"""What is kept of a resident's days, and the habits that are made of it once a week.

Place in the flow: `processors.routines.watch` hands over what has ended (`Ended`), `kept` adds it to
the history, and `habits` makes of the past what `watch` compares the present with.  The history is
a row of its own, written some ten times a day; what `watch` needs at every event stays small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from processors.routines.limits import CAP, FIXED, LOOK_BACK, Limits, fit

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_MIN: Final = 24 * 60
LONGEST_MIN: Final = int(CAP.total_seconds() // 60)
MARGIN_MIN: Final = 60
"""Added to the latest rise and to half of the longest way out that is known: chosen, not fitted."""
FEWEST: Final = 7
"""Mornings, or ways out, below which nothing personal is said of them."""
PRIOR_TRIPS: Final = 2.0
PRIOR_NIGHTS: Final = 1.0
"""Before anything is known: two trips a night, believed like one night's count (nocturia twice a
night is common above 70, and is no alarm)."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The past of one home; times are minutes since 1970 by its own clock, spans (from, until).

    Attributes:
        since: When it began.
        silences: At home, a quarter of an hour or longer.
        absences: Ways out, planned absences, and hours in which no sensor could have told.
        nights: Trips to the bathroom, by the number of the night.
        exits: Numbers of the nights in which the front door was used.
    """

    since: int
    silences: tuple[tuple[int, int], ...] = ()
    absences: tuple[tuple[int, int], ...] = ()
    nights: dict[int, int] = {}
    exits: tuple[int, ...] = ()


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What a resident usually does.

    Attributes:
        limits: The longest usual silence, by the time of day.
        away_min: The longest usual way out, in minutes.
        up_min: Minute of the day at which the resident is usually up; None while unknown.
        up_by_min: Minute of the day by which they have always been up, and an hour.
        trips: Trips to the bathroom in the nights that were counted.
        nights: Nights that were counted.
        exit_share: Share of the nights in which the front door was used.
    """

    limits: Limits = FIXED
    away_min: int = LONGEST_MIN
    up_min: int | None = None
    up_by_min: int | None = None
    trips: int = 0
    nights: int = 0
    exit_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What has ended with an event, for the history; fields as there."""

    silences: tuple[tuple[int, int], ...] = ()
    absences: tuple[tuple[int, int], ...] = ()
    nights: tuple[tuple[int, int], ...] = ()
    exits: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything has."""
        return bool(self.silences or self.absences or self.nights or self.exits)


def kept(history: History, ended: Iterable[Ended], now: int) -> History:
    """Add what has ended, and drop what is older than `LOOK_BACK`."""
    silences, absences = list(history.silences), list(history.absences)
    nights, exits = dict(history.nights), set(history.exits)
    for one in ended:
        silences += one.silences
        absences += one.absences
        nights |= dict(one.nights)
        exits |= set(one.exits)
    oldest = now - int(LOOK_BACK.total_seconds() // 60)
    return History(
        since=history.since,
        silences=tuple(span for span in silences if span[1] >= oldest),
        absences=tuple(span for span in absences if span[1] >= oldest),
        nights={night: trips for night, trips in nights.items() if night >= oldest // DAY_MIN},
        exits=tuple(sorted(night for night in exits if night >= oldest // DAY_MIN)),
    )


def habits(history: History, now: int) -> Habits:
    """Learn what is usual; `now` in minutes by the home's own clock."""
    rises = _rises(history)
    away = [end - begin for begin, end in history.absences if end - begin <= LONGEST_MIN]
    watched = max((now - max(history.since, now - int(LOOK_BACK.total_seconds() // 60))) / DAY_MIN, 1)
    known_rises, known_away = len(rises) >= FEWEST, len(away) >= FEWEST
    return Habits(
        limits=fit(history.silences, history.absences, history.since, now),
        away_min=min(int(1.5 * max(away)) + MARGIN_MIN, LONGEST_MIN) if known_away else LONGEST_MIN,
        up_min=int(median(rises)) if known_rises else None,
        up_by_min=max(rises) + MARGIN_MIN if known_rises else None,
        trips=sum(history.nights.values()),
        nights=len(history.nights),
        exit_share=(len(history.exits) + 0.5) / (watched + 1),
    )


def _rises(history: History) -> list[int]:
    """Return when each night's longest silence ended, as minutes of the day between 4 and 12."""
    longest: dict[int, tuple[int, int]] = {}
    for begin, end in history.silences:
        day, minute = divmod(end, DAY_MIN)
        if 4 * 60 <= minute <= 12 * 60 and begin < day * DAY_MIN + 5 * 60:
            longest[day] = max(longest.get(day, (0, 0)), (end - begin, minute))
    return [minute for length, minute in longest.values() if length >= 60]


def chance_of_trips(count: int, trips: int, nights: int) -> float:
    """Return how likely a night with at least `count` trips is.

    Trips are Poisson at a rate of which `trips` in `nights` are known (Gamma prior), so a night's
    count is negative binomial.
    """
    shape, rate = PRIOR_TRIPS + trips, PRIOR_NIGHTS + nights
    fewer = sum(
        math.exp(
            math.lgamma(shape + k)
            - math.lgamma(shape)
            - math.lgamma(k + 1)
            + shape * math.log(rate / (rate + 1))
            - k * math.log(rate + 1)
        )
        for k in range(count)
    )
    return max(1 - fewer, 0.0)
