"""Coverage: which residents are unprotected, by what, since when.  Pure.

Place in the flow: `watchdog` knows which ways are broken, the roster which devices watch over
whom; this module turns the one into the other.  `rounds` then sends people to doors.

Rules
-----
1. A protection holds while its node is heard and its estate's way to the officers is open.
2. A resident is *unprotected* when none of their protections holds, *reduced* when some do.
3. A flagged resident without any protection is unprotected whenever the estate's way is
   broken: nobody flagged goes unseen.
4. An interval begins with the first cause and ends with the last; a new cause inside it does
   not begin a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vigil.roster import Protection, Resident

SILENT: Final = timedelta(seconds=45)
"""After a node's will (15 s): its residents are named within 60 s, the goal is 90 s."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A protection that does not hold.

    Attributes:
        kind: Of the device.
        why: `way` (nothing of the estate comes through) or `node`.
    """

    kind: str
    device: str
    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a resident is covered.

    Attributes:
        lost: What does not hold; empty for a resident who is covered.
        held: Kinds of the devices that still do.
        since: Since when the resident has been without any; None while something holds.
    """

    resident: str
    lost: tuple[Lost, ...]
    held: tuple[str, ...]
    since: datetime | None

    @property
    def unprotected(self) -> bool:
        """Whether nothing watches over the resident."""
        return self.since is not None


def of(
    residents: Iterable[Resident], broken: Mapping[str, datetime], silent: Mapping[str, datetime]
) -> list[Coverage]:
    """Return the coverage of every resident.

    Args:
        residents: Flagged residents.
        broken: Estates whose way is broken, and since when.
        silent: Nodes that are not heard, and since when.
    """
    return [_of_one(resident, broken.get(resident.estate), silent) for resident in residents]


def _of_one(resident: Resident, broken: datetime | None, silent: Mapping[str, datetime]) -> Coverage:
    found = [_lost(protection, broken, silent) for protection in resident.protections]
    lost = tuple(each for each in found if each is not None)
    pairs = zip(resident.protections, found, strict=True)
    held = tuple(sorted({protection.kind for protection, each in pairs if each is None}))
    if held or (not lost and broken is None):
        return Coverage(resident.id, lost, held, None)
    # Unprotected from the moment at which the last protection went.
    since = max((each.since for each in lost), default=broken)
    return Coverage(resident.id, lost, held, since)


def _lost(protection: Protection, broken: datetime | None, silent: Mapping[str, datetime]) -> Lost | None:
    since = silent.get(protection.node)
    if broken is None and since is None:
        return None
    if since is None or (broken is not None and broken <= since):
        assert broken is not None  # noqa: S101 - one of the two is there, and it is not `since`
        return Lost(protection.kind, protection.device, "way", broken)
    return Lost(protection.kind, protection.device, "node", since)


@dataclass(frozen=True, slots=True)
class Interval:
    """A time without protection, of one resident; `until` is None while it lasts."""

    resident: str
    since: datetime
    until: datetime | None = None


def intervals(
    open_: Iterable[Interval], now_unprotected: Mapping[str, datetime], now: datetime
) -> list[Interval]:
    """Carry the open intervals on.

    Args:
        open_: Intervals without an end.
        now_unprotected: Residents who are unprotected now, and since when.
        now: Present time.

    Returns:
        Those that have begun or ended; the others go on as they are.
    """
    going = {interval.resident: interval for interval in open_}
    ended = [
        Interval(each.resident, each.since, now)
        for each in going.values()
        if each.resident not in now_unprotected
    ]
    begun = [
        Interval(resident, since)
        for resident, since in sorted(now_unprotected.items())
        if resident not in going
    ]
    return ended + begun
