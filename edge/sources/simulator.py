"""A seeded day in an estate: homes, wearables, and now and then a fall or a call for help.

Place in the flow: a source of `edge.__main__` for demonstrations; `edge.simulation` decides
what happens, this lets it happen in time.  Everything that comes from here is marked
`synthetic: demo`.  The wearables' samples go through `edge.wearable` like real ones.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np

from edge import simulation, wearable
from edge.reading import Reading
from edge.wearable import Wearer, placement_of
from vigil.events import DeviceHealth, SensorChanged, Sos
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from numpy.typing import NDArray

    from edge.config import Device, Simulator
    from edge.reading import Put
    from edge.simulation import Activity
    from edge.sources import Context

CHUNK_S: Final = 0.5
MOVEMENT_S: Final = (5.0, 40.0)
"""How long one movement lasts, in seconds."""
BUMP_EVERY_S: Final = 900.0
"""Mean time between two hard landings on a chair, for each wearer."""
HEALTH_S: Final = 60.0
SOS_PART: Final = 0.15
"""Part of the incidents that are a press of a button rather than a fall."""
SPREAD: Final = (0.6, 1.4)


class SimulatorSource:
    """The simulated people of one node."""

    def __init__(
        self,
        spec: Simulator,
        devices: list[Device],
        context: Context,
    ) -> None:
        self._spec, self._utc = spec, context.utc
        self._rng = Random(spec.seed)
        self._wearers = [
            _Wearing(device, Random(f"{spec.seed}/{device.id}"), spec, context.utc)
            for device in devices
            if device.worn
        ]
        self._buttons = [device for device in devices if device.kind == "sos_button"]
        homes: defaultdict[str, dict[str, Device]] = defaultdict(dict)
        for device in devices:
            if not device.worn and device.zone is not None:
                homes[device.zone][device.kind] = device
        self._homes = homes

    async def run(self, put: Put) -> None:
        """Live for ever."""
        async with asyncio.TaskGroup() as tasks:
            for wearing in self._wearers:
                tasks.create_task(wearing.run(put), name=f"simulator-{wearing.device}")
            for zone, sensors in self._homes.items():
                tasks.create_task(self._home(zone, sensors, put), name=f"simulator-{zone}")
            tasks.create_task(self._incidents(put), name="simulator-incidents")

    async def _incidents(self, put: Put) -> None:
        await asyncio.sleep(self._spec.first_fall_s / self._spec.speed)
        first = True
        while self._wearers or self._buttons:
            calls = self._buttons and not first and self._rng.random() < SOS_PART
            if calls or not self._wearers:
                button = self._rng.choice(self._buttons)
                await put(Reading(button.id, Sos(by="button", zone=button.zone), self._utc(), "demo"))
            else:
                self._rng.choice(self._wearers).fall()
            first = False
            await asyncio.sleep(self._spec.fall_every_s * self._rng.uniform(*SPREAD) / self._spec.speed)

    async def _home(self, zone: str, sensors: dict[str, Device], put: Put) -> None:
        rng = Random(f"{self._spec.seed}/{zone}")
        # Somebody in the middle of something: not everybody begins with the program's start.
        before, activity, lasts_s = _beginning(self._hour(), rng)
        while True:
            await self._live(before, activity, lasts_s, sensors, put, rng)
            before = activity
            activity, lasts_s = simulation.next_activity(before, self._hour(), rng)

    async def _live(
        self,
        before: Activity,
        activity: Activity,
        lasts_s: float,
        sensors: dict[str, Device],
        put: Put,
        rng: Random,
    ) -> None:
        lived = 0.0
        for trace in simulation.traces(before, activity, lasts_s, rng):
            await asyncio.sleep(max(trace.after_s - lived, 0.0) / self._spec.speed)
            lived = max(trace.after_s, lived)
            device = sensors.get(trace.kind)
            if device is not None:
                data = SensorChanged(sensor=trace.kind, state=trace.on, zone=device.zone)
                await put(Reading(device.id, data, self._utc(), "demo"))
        await asyncio.sleep(max(lasts_s - lived, 0.0) / self._spec.speed)

    def _hour(self) -> float:
        here = self._utc().astimezone(ZoneInfo(self._spec.time_zone))
        return here.hour + here.minute / 60


def _beginning(hour: float, rng: Random) -> tuple[Activity, Activity, float]:
    activity, lasts_s = simulation.next_activity("sitting", hour, rng)
    return "sitting", activity, lasts_s * rng.random() + 30


class _Wearing:
    """One simulated wearer."""

    def __init__(self, device: Device, rng: Random, spec: Simulator, utc: Callable[[], datetime]) -> None:
        self.device = device.id
        self._wearer = Wearer(device.id, placement_of(device.worn), device.zone, "demo")
        self._rng, self._utc, self._speed = rng, utc, spec.speed
        self._noise = np.random.default_rng(rng.getrandbits(32))
        self._worn = wearable.begin(utc(), RATE_HZ * spec.speed)
        self._falls = asyncio.Event()
        self._battery = rng.uniform(35, 100)
        self._told_s = rng.uniform(0, HEALTH_S)

    def fall(self) -> None:
        """Fall at the next opportunity."""
        self._falls.set()

    async def run(self, put: Put) -> None:
        """Move, rest, and fall when told to."""
        while True:
            if self._falls.is_set():
                self._falls.clear()
                await self._hand_over(put, simulation.falling(self._noise))
            elif self._rng.random() < sum(MOVEMENT_S) / 2 / BUMP_EVERY_S:
                await self._hand_over(put, simulation.bump(self._noise))
            await self._move(put)

    async def _move(self, put: Put) -> None:
        movement = simulation.movement_in(self._rng.choice(("sitting", "tidying")), self._rng)
        moved, lasts = 0.0, self._rng.uniform(*MOVEMENT_S)
        while moved < lasts and not self._falls.is_set():
            await self._hand_over(put, simulation.moving(movement, moved, CHUNK_S, self._noise))
            moved += CHUNK_S
        await self._tell_health(put, moved)

    async def _hand_over(self, put: Put, samples: NDArray[np.float32]) -> None:
        step = int(CHUNK_S * RATE_HZ)
        for at in range(0, len(samples), step):
            self._worn, readings = wearable.feed(self._wearer, self._worn, samples[at : at + step])
            due = self._worn.began + timedelta(seconds=self._worn.state.end / self._worn.rate_hz)
            await asyncio.sleep(max((due - self._utc()).total_seconds(), 0.0))
            for reading in readings:
                await put(reading)

    async def _tell_health(self, put: Put, moved_s: float) -> None:
        self._told_s += moved_s
        self._battery = max(self._battery - moved_s * 100 / (5 * 86400), 1.0)
        if self._told_s >= HEALTH_S:
            self._told_s = 0.0
            health = DeviceHealth(battery_pct=round(self._battery, 1), zone=self._wearer.zone)
            await put(Reading(self.device, health, self._utc(), "demo"))
