"""A recorded home of binary sensors, played at the present time.

Place in the flow: a source of `edge.__main__`; each line of van Kasteren's format (start,
duration, sensor) becomes two changes of a sensor.  The log is entered at the first day
whose time of day is the present one, so that people get up in the morning; at its end it
begins again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

from edge.reading import Reading
from vigil.errors import Misconfigured
from vigil.events import SensorChanged

if TYPE_CHECKING:
    from edge.config import Device, HomeLog
    from edge.reading import Put
    from edge.sources import Context

Sensor = Literal["motion", "door", "bed", "chair", "appliance", "water_use", "presence"]
DAY_S: Final = 86400
_KINDS: Final[tuple[tuple[str, Sensor], ...]] = (
    ("flush", "water_use"),
    ("faucet", "water_use"),
    ("tap", "water_use"),
    ("shower", "water_use"),
    ("float", "water_use"),
    ("press bed", "bed"),
    ("mat bed", "bed"),
    ("bed mat", "bed"),
    ("couch", "chair"),
    ("chair", "chair"),
    ("pir", "motion"),
    ("motion", "motion"),
    ("door", "door"),
    ("cupboard", "door"),
    ("cabinet", "door"),
    ("drawer", "door"),
    ("closet", "door"),
    ("dresser", "door"),
    ("window", "door"),
)
"""The first word of the sensor's name that is found says what kind of sensor it is."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A sensor turned on or off, in seconds since the epoch of the log."""

    at: int
    sensor: int
    on: bool


def kind_of(name: str) -> Sensor:
    """Return the kind of a recorded sensor by its name; what is switched on is an appliance."""
    low = name.lower()
    return next((kind for word, kind in _KINDS if word in low), "appliance")


def names(path: Path) -> dict[int, str]:
    """Return the sensors' names beside a `.sensors` file."""
    lines = path.with_suffix(".sensor_names").read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return {int(number): name.strip() for number, name in pairs}


def changes(path: Path) -> list[Change]:
    """Read a `.sensors` file as changes in order of time.

    Raises:
        Misconfigured: It is not there, or a line is not three numbers.
    """
    found = []
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                start, duration, sensor = (int(float(part)) for part in line.split())
                found += [Change(start, sensor, on=True), Change(start + max(duration, 1), sensor, on=False)]
    except (OSError, ValueError) as error:
        raise Misconfigured("VIGIL_EDGE_CONFIG", f"home log {path}: {error}") from None
    return sorted(found)


def entry(log: list[Change], day_s: float) -> int:
    """Return the log's second at which to enter it: its second day, `day_s` into the day."""
    first = log[0].at
    midnight = first - first % DAY_S + DAY_S
    return midnight + int(day_s)


class HomeLogSource:
    """One recorded home."""

    def __init__(
        self,
        spec: HomeLog,
        devices: list[Device],
        context: Context,
    ) -> None:
        self._log = changes(Path(spec.path))
        if not self._log:
            raise Misconfigured("VIGIL_EDGE_CONFIG", f"home log {spec.path} is empty")
        self._kinds = {number: kind_of(name) for number, name in names(Path(spec.path)).items()}
        self._devices = {int(device.address or 0): device for device in devices}
        self._zone = ZoneInfo(spec.time_zone)
        self._speed, self._utc, self._synthetic = spec.speed, context.utc, context.synthetic

    async def run(self, put: Put) -> None:
        """Play the log for ever."""
        here = self._utc().astimezone(self._zone)
        log_now = entry(self._log, (here.hour * 60 + here.minute) * 60 + here.second)
        while True:
            await self._play(put, log_now)
            log_now = self._log[0].at

    async def _play(self, put: Put, log_from: int) -> None:
        began = self._utc()
        for change in self._log:
            if change.at < log_from:
                continue
            due = (change.at - log_from) / self._speed
            await asyncio.sleep(max(due - (self._utc() - began).total_seconds(), 0.0))
            device = self._devices.get(change.sensor)
            if device is not None:
                await put(self._reading(device, change))

    def _reading(self, device: Device, change: Change) -> Reading:
        kind = self._kinds.get(change.sensor, "appliance")
        data = SensorChanged(sensor=kind, state=change.on, zone=device.zone)
        return Reading(device.id, data, self._utc(), self._synthetic)
