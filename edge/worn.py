"""Whether a wearable is worn: one that lies in a drawer watches over nobody, and looks healthy.

Place in the flow: `edge.box` shows it every reading that was accepted; what it returns is
put into the spool like any other health.  No I/O.

Rules
-----
1. A second in which the device's activity is above `MOVED_G` is a movement of its wearer;
   sleepers make some every hour, a drawer makes none.
2. A device that has not moved for `STILL_FOR_S` is reported as not worn once its home has
   moved `HOME_MOVES` times since: somebody is up, and does not carry it.
3. The first movement afterwards is reported too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edge.reading import Reading
from vigil.events import DeviceHealth, Readings, SensorChanged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from edge.config import Device

MOVED_G: Final = 0.012
"""Standard deviation of a second's magnitude, in g; a resting ADXL345 shows 0.004 to 0.006."""
STILL_FOR_S: Final = 2 * 3600.0
HOME_MOVES: Final = 5
ACTIVITY: Final = "activity_g"


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a wearable.

    Attributes:
        moved_at: When it last moved, or was first heard of.
        home_moves: How often its home has moved since.
        worn: As last reported.
    """

    moved_at: datetime
    home_moves: int = 0
    worn: bool = True


class Worn:
    """Watches the wearables of a node."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._worn = {device.id: device for device in devices if device.worn}
        self._watched: dict[str, Watched] = {}

    def take(self, reading: Reading) -> list[Reading]:
        """Take note of a reading, and return what is to be reported because of it."""
        data = reading.data
        if isinstance(data, Readings) and data.quantity == ACTIVITY and reading.device in self._worn:
            return self._moved(reading, max(data.values))
        if isinstance(data, SensorChanged) and data.state and data.zone is not None:
            return [said for id_ in self._at_home(data.zone) for said in self._home_moved(id_, reading)]
        return []

    def _at_home(self, zone: str) -> list[str]:
        return [id_ for id_, device in self._worn.items() if device.zone == zone and id_ in self._watched]

    def _moved(self, reading: Reading, activity_g: float) -> list[Reading]:
        before = self._watched.setdefault(reading.device, Watched(reading.time))
        if activity_g <= MOVED_G:
            return []
        self._watched[reading.device] = Watched(reading.time)
        return [] if before.worn else [self._said(reading, reading.device, worn=True)]

    def _home_moved(self, id_: str, reading: Reading) -> list[Reading]:
        before = self._watched[id_]
        now = replace(before, home_moves=before.home_moves + 1)
        still_s = (reading.time - now.moved_at).total_seconds()
        if now.worn and still_s >= STILL_FOR_S and now.home_moves >= HOME_MOVES:
            self._watched[id_] = replace(now, worn=False)
            return [self._said(reading, id_, worn=False)]
        self._watched[id_] = now
        return []

    def _said(self, reading: Reading, id_: str, *, worn: bool) -> Reading:
        trouble = [] if worn else ["not worn"]
        health = DeviceHealth(worn=worn, trouble=trouble, zone=self._worn[id_].zone)
        return Reading(id_, health, reading.time, reading.synthetic)
