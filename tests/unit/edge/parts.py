"""What the edge's tests build again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from edge.reading import Reading
from edge.spool import Spool
from edge.timesync import Instant
from vigil.events import Data, DeviceHealth, FallSuspected, Readings, SensorChanged, Sos
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = Address("c1", "e1", "n1")
START = Instant(datetime(2026, 3, 1, 8, 0, tzinfo=UTC), 1000.0, "machine-1", "synced", 0.01)


def later(seconds: float, since: Instant = START) -> Instant:
    """The same clocks, `seconds` later."""
    return replace(since, utc=since.utc + timedelta(seconds=seconds), mono=since.mono + seconds)


class Clocks:
    """Clocks that stand until they are moved."""

    def __init__(self, now: Instant = START) -> None:
        self.instant = now

    def now(self) -> Instant:
        return self.instant

    def utc(self) -> datetime:
        return self.instant.utc

    def move(self, seconds: float) -> None:
        self.instant = later(seconds, self.instant)


def data_for(lane: Lane, size: int = 1) -> Data:
    """Data that go on a lane; `size` makes telemetry longer."""
    match lane:
        case Lane.ALARM:
            return Sos(by="button")
        case Lane.EVENT:
            return SensorChanged(sensor="door", state=True)
        case Lane.TELEMETRY:
            return Readings(quantity="temperature_c", interval_s=1.0, values=[21.5] * size)
        case Lane.HEALTH:
            return DeviceHealth(battery_pct=50.0)


def reading(lane: Lane = Lane.EVENT, size: int = 1, at: Instant = START, device: str = "d1") -> Reading:
    return Reading(device, data_for(lane, size), at.utc)


def window(*, fall: bool = True, episode: str = "d1-1") -> FallSuspected:
    """An impact of 3 g; with `fall` the wearer lies afterwards, else stands."""
    before, after = [0, -1000, 0], [1000, 0, 0] if fall else [0, -1000, 0]
    samples = before * 100 + [0, -3000, 0] + after * 99
    return FallSuspected(accel_mg=samples, peak_g=3.0, placement="waist", episode=episode)


def opened(path: Path, now: Instant = START, max_bytes: int = 1 << 30) -> Spool:
    return Spool(path, ADDRESS, now, max_bytes=max_bytes)


def keys(spool: Spool, lane: Lane) -> list[tuple[str, int]]:
    """Boot and number of a lane's pending rows, in order."""
    rows = spool.pending(lane, None, 100_000)
    return [(row.envelope().boot, row.key.seq) for row in rows]
