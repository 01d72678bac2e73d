"""A seeded load: which readings a box takes in, in which order, with which pauses; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from edge.reading import Reading
from vigil.events import Answer, Data, FallSuspected, Readings, SensorChanged, Sos

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

SHARES: Final = (("sensor", 45), ("readings", 33), ("window", 16), ("answer", 5), ("sos", 1))
"""How many in a hundred readings are what."""
LATE_SHARE: Final = 0.02
"""Readings that happened a day before they are accepted."""
BURST: Final = 10
"""How many times the usual rate a burst has."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of one box, by what they are in the registry."""

    sensor: str
    wearable: str
    refusing: str
    """A wearable whose resident has not consented: its events are to be withheld."""
    unregistered: str
    """Its events are to end as dead letters."""


@dataclass(frozen=True, slots=True)
class Item:
    """A reading and the pause before it, in seconds."""

    device: str
    data: Data
    late: timedelta
    pause_s: float

    def reading(self, now: datetime) -> Reading:
        """Return it as observed at `now`."""
        return Reading(self.device, self.data, now - self.late)


def load(seed: int, count: int, rate: float, devices: Devices) -> Iterator[Item]:
    """Yield `count` items at `rate` a second, with one burst in the middle."""
    rng = Random(seed)
    names, weights = [name for name, _ in SHARES], [weight for _, weight in SHARES]
    for number in range(count):
        kind = rng.choices(names, weights)[0]
        late = timedelta(days=1) if rng.random() < LATE_SHARE else timedelta()
        burst = 0.45 < number / count < 0.6
        pause = rng.expovariate(rate * (BURST if burst else 1))
        yield Item(_device(kind, rng, devices), _data(kind, number, rng), late, pause)


def _device(kind: str, rng: Random, devices: Devices) -> str:
    chance = rng.random()
    if chance < 0.03:
        return devices.unregistered
    if kind in ("sensor", "readings"):
        return devices.sensor
    return devices.refusing if chance < 0.1 else devices.wearable


def _data(kind: str, number: int, rng: Random) -> Data:
    match kind:
        case "sensor":
            return SensorChanged(sensor="motion", state=rng.random() < 0.5)
        case "readings":
            return Readings(quantity="activity", interval_s=1.0, values=[rng.random() for _ in range(20)])
        case "window":
            return _window(number, rng)
        case "answer":
            return Answer(answer="fine")
        case _:
            return Sos(by="button")


def _window(number: int, rng: Random) -> FallSuspected:
    """Make a window of a stumble: an impact on a device at rest."""
    samples = [rng.randint(-40, 40) + (1000 if axis == 2 else 0) for _ in range(200) for axis in range(3)]
    samples[302] = 2000 + rng.randint(0, 2000)
    return FallSuspected(
        accel_mg=samples,
        peak_g=samples[302] / 1000,
        placement="waist",
        episode=f"e{number}",
    )
