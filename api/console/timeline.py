"""Draw when a home was heard as a time line: pure geometry.

Neighbours: `vigil.store.surroundings` reads, the template `_timeline.html` draws.  One row for each kind
of device, so that "the door, then nothing for nine hours" is seen at a glance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

WIDTH: Final = 800
ROW: Final = 34
BEFORE: Final = timedelta(hours=24)
AFTER: Final = timedelta(hours=1)
EVERY_H: Final = 3
ITSELF: Final = timedelta(minutes=1)
"""What was heard so shortly before the event is the event itself."""


@dataclass(frozen=True, slots=True)
class Lane:
    """When one kind of device was heard, as an SVG path of short strokes.

    Attributes:
        kind: Of the devices.
        y: Middle of the row.
    """

    kind: str
    y: float
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark on the time axis, with the local hour."""

    x: float
    hour: int


@dataclass(frozen=True, slots=True)
class TimeLine:
    """What is drawn, in a box of `WIDTH` by `height`.

    Attributes:
        alert_x: Where the alert's event is.
        quiet: How long before the event the home was last heard; None: not within the time shown.
    """

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    height: float
    alert_x: float
    quiet: timedelta | None


def span(event: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return from when until when the home is shown around an event."""
    return event - BEFORE, max(event, min(now, event + AFTER))


def draw(
    heard: Iterable[tuple[datetime, str]], event: datetime, now: datetime, zone: ZoneInfo
) -> TimeLine | None:
    """Draw a time line; None where the home was not heard at all.

    Args:
        heard: (time, kind of device), in any order.
        event: When what the alert is about happened.
        now: Present time.
        zone: The community's.
    """
    since, until = span(event, now)
    inside = [(at, kind) for at, kind in heard if since <= at <= until]
    if not inside:
        return None
    kinds = sorted({kind for _, kind in inside})
    lanes = tuple(
        _lane(kind, n, [_x(at, since, until) for at, k in inside if k == kind])
        for n, kind in enumerate(kinds)
    )
    before = [at for at, _ in inside if at < event - ITSELF]
    quiet = event - max(before) if before else None
    return TimeLine(lanes, _marks(since, until, zone), len(kinds) * ROW, _x(event, since, until), quiet)


def _lane(kind: str, number: int, xs: list[float]) -> Lane:
    """Draw a row; what falls on the same half pixel is one stroke."""
    middle = (number + 0.5) * ROW
    strokes = "".join(f"M{x:g},{middle - 10:g}v20" for x in sorted({round(x * 2) / 2 for x in xs}))
    return Lane(kind, middle, strokes)


def _x(at: datetime, since: datetime, until: datetime) -> float:
    return WIDTH * ((at - since) / (until - since))


def _marks(since: datetime, until: datetime, zone: ZoneInfo) -> tuple[Mark, ...]:
    """Mark every third hour of the community's clock."""
    first = since.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    hours = (first + timedelta(hours=n) for n in range(int((until - since) / timedelta(hours=1)) + 2))
    return tuple(
        Mark(_x(hour, since, until), hour.hour)
        for hour in hours
        if hour.hour % EVERY_H == 0 and since <= hour <= until
    )
