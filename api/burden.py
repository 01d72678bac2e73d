"""What alarms cost the people who receive them: pure arithmetic over who was told when.

Neighbour: `api.effect` reads the rows.  An alarm is an alert that reaches a person; repeats of
it are none (ISA-18.2 counts annunciated alarms).  Goals: mean <= 1 and peak <= 10 per officer
and 10 minutes, flood in < 1% of periods (ISA-18.2, EEMUA 191).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from api.escalation.rota import Shift
    from vigil.store.effect import Told

PERIOD: Final = timedelta(minutes=10)
FLOOD: Final = 10
"""More alarms than this in a period are a flood."""
NIGHT_FROM: Final = 22
NIGHT_TO: Final = 6


@dataclass(frozen=True, slots=True)
class Burden:
    """Alarms per officer and 10 minutes on duty.

    Attributes:
        mean: Over all periods on duty, the quiet ones too; None where nobody was on duty.
        peak: The most in one period.
        flood_share: Share of the periods on duty with more than 10.
    """

    alarms: int
    periods: int
    mean: float | None
    peak: int
    flood_share: float | None


def burden(told: Iterable[Told], shifts: Iterable[Shift], since: datetime, until: datetime) -> Burden:
    """Return the burden of duty officers within a stretch of time.

    Args:
        told: Who was told of an alert for the first time.
        shifts: Duty as it was agreed.
        since: Beginning.
        until: End.
    """
    loads = Counter((one.account, (one.at - since) // PERIOD) for one in told if one.role == "duty_officer")
    spans = [
        min(s.ends_at, until) - max(s.starts_at, since)
        for s in shifts
        if s.duty == "officer" and s.starts_at < until and s.ends_at > since
    ]
    periods = round(sum(spans, timedelta()) / PERIOD)
    alarms = sum(loads.values())
    floods = sum(load > FLOOD for load in loads.values())
    return Burden(
        alarms=alarms,
        periods=periods,
        mean=alarms / periods if periods else None,
        peak=max(loads.values(), default=0),
        flood_share=floods / periods if periods else None,
    )


def night_wakings(
    told: Iterable[Told], asked: Iterable[datetime], shifts: Iterable[Shift], zone: ZoneInfo
) -> int:
    """Return how often somebody without duty, or a resident, was called between 22:00 and 06:00."""
    duties = [(s.account, s.starts_at, s.ends_at) for s in shifts]
    off_duty = [
        one.at
        for one in told
        if not any(account == one.account and a <= one.at < b for account, a, b in duties)
    ]
    return sum(_is_night(moment, zone) for moment in [*off_duty, *asked])


def _is_night(moment: datetime, zone: ZoneInfo) -> bool:
    hour = moment.astimezone(zone).hour
    return hour >= NIGHT_FROM or hour < NIGHT_TO


def share(part: int, other: int) -> float | None:
    """Return a part of the whole, None where there is nothing."""
    return part / (part + other) if part + other else None
