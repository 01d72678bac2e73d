"""Wearables that speak lines, however these come: what each line means for its device.

Place in the flow: `edge.sources.udp`, `edge.sources.serial_line` and `edge.sources.ble` hand lines
over; `edge.lines` reads them, each device's samples go through `edge.wearable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from edge import lines, wearable
from edge.lines import Battery, Grid, Pressed, Sample
from edge.reading import Reading
from edge.wearable import Wearer, placement_of
from vigil.errors import Rejected
from vigil.events import DeviceHealth, Sos
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from edge.config import Device
    from edge.reading import Put
    from edge.sources import Context
    from edge.wearable import Worn

LONGEST: Final = 200
"""Bytes of a line; a sample with the longest name takes half of it."""
_log = structlog.get_logger(__name__)


class Spoken:
    """The wearables behind one source, by the name that they have in the lines."""

    def __init__(self, devices: list[Device], context: Context) -> None:
        self._wearing = {device.address or device.id: Wearing(device, context) for device in devices}

    async def take(self, text: str, put: Put, name: str | None = None) -> None:
        """Hand over the readings that a line completes; one that makes no sense is logged.

        Args:
            text: The line.
            put: Takes readings.
            name: Whose line it is, where its sender is known otherwise than by it.
        """
        try:
            line = lines.parse(text)
        except Rejected as error:
            _log.warning("a line was not understood", why=error.detail)
            return
        wearing = self._wearing.get(name or line.name)
        if wearing is None:
            _log.warning("a device that this node does not have", name=line.name)
            return
        for reading in wearing.take(line):
            await put(reading)


class Pieces:
    """Puts lines together of the pieces in which a port or a radio delivers them."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, piece: bytes) -> list[str]:
        """Return the lines that a piece completes; what is too long for a line is noise, and dropped."""
        *whole, rest = (self._rest + piece).split(b"\n")
        self._rest = rest if len(rest) <= LONGEST else b""
        return [text for raw in whole if (text := raw.decode("ascii", errors="replace").strip())]


class Wearing:
    """One wearable's stream."""

    def __init__(self, device: Device, context: Context) -> None:
        self._wearer = Wearer(device.id, placement_of(device.worn), device.zone, context.synthetic)
        self._context = context
        self._grid: Grid | None = None
        self._worn: Worn | None = None

    def take(self, line: lines.Line) -> list[Reading]:
        """Return the readings that a line completes."""
        if isinstance(line, Pressed):
            return [self._reading(Sos(by="button", zone=self._wearer.zone))]
        if isinstance(line, Battery):
            return [self._reading(DeviceHealth(battery_pct=line.percent, zone=self._wearer.zone))]
        return self._fed(line)

    def _fed(self, sample: Sample) -> list[Reading]:
        self._grid, samples, begins = lines.join(self._grid, sample)
        ended: list[Reading] = []
        if begins or self._worn is None:
            if self._worn is not None:
                self._worn, ended = wearable.end(self._wearer, self._worn)
            self._worn = wearable.begin(self._context.utc(), RATE_HZ, self._worn)
        self._worn, found = wearable.feed(self._wearer, self._worn, samples)
        return ended + found

    def _reading(self, data: Sos | DeviceHealth) -> Reading:
        return Reading(self._wearer.device, data, self._context.utc(), self._wearer.synthetic)
