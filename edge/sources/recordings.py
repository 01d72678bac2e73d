"""SisFall and WEDA recordings, played in real time as the wearables of residents.

Place in the flow: a source of `edge.__main__`; each device plays recordings of one subject
through `edge.wearable`, as its own accelerometer would.

What is played is recorded, and when it is played is not: daily life in a seeded order, and
every now and then a fall of one of the devices.  Between two recordings the device lies
still as the last one ended, which is what its wearer did after a recorded fall.
"""

from __future__ import annotations

import asyncio
import csv
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

from edge import wearable
from edge.wearable import Wearer, placement_of
from vigil.errors import Misconfigured
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from numpy.typing import NDArray

    from edge.config import Device, Recordings
    from edge.reading import Put
    from edge.sources import Context
    from vigil.events import Synthetic

CHUNK_S: Final = 0.5
"""Seconds of samples a device hands over at a time."""
REST_S: Final = 25.0
"""Seconds of rest after a recording: longer than the trigger watches for stillness."""
NOISE_G: Final = 0.004
"""Noise of a resting accelerometer, about that of the ADXL345 of SisFall at this rate."""
SPREAD: Final = (0.6, 1.4)
"""A wait between falls is the mean times something between these."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A row of the data set's index: samples `start` to `end` of the whole."""

    code: str
    subject: str
    trial: str
    is_fall: bool
    start: int
    end: int


def index(path: Path, dataset: str) -> list[Recording]:
    """Read the index of a data set.

    Raises:
        Misconfigured: It is not there.
    """
    try:
        with (path / f"{dataset}_index.csv").open(newline="", encoding="utf-8") as file:
            return [_recording(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise Misconfigured("VIGIL_EDGE_CONFIG", f"recordings of {dataset}: {error}") from None


def samples(path: Path, dataset: str, wanted: list[Recording]) -> dict[Recording, NDArray[np.int16]]:
    """Return the samples of some recordings in milli-g, shape (n, 3) each; the rest is let go."""
    with np.load(path / f"{dataset}_50hz.npz") as arrays:
        everything = arrays["acc_mg"]
    return {recording: everything[recording.start : recording.end].copy() for recording in wanted}


class RecordingsSource:
    """The wearables of one data set."""

    def __init__(
        self,
        spec: Recordings,
        devices: list[Device],
        context: Context,
    ) -> None:
        self._spec, self._utc = spec, context.utc
        self._rng = Random(spec.seed)
        path, names = Path(spec.path), {device.address or device.id for device in devices}
        self._recordings = [r for r in index(path, spec.dataset) if r.subject in names]
        self._samples = samples(path, spec.dataset, self._recordings)
        self._players = [self._player(device, context.synthetic) for device in devices]

    async def run(self, put: Put) -> None:
        """Play all devices for ever, and let one of them fall now and then."""
        async with asyncio.TaskGroup() as tasks:
            for player in self._players:
                tasks.create_task(player.run(put), name=f"recordings-{player.wearer.device}")
            tasks.create_task(self._fall(), name="recordings-falls")

    async def _fall(self) -> None:
        await asyncio.sleep(self._spec.first_fall_s / self._spec.speed)
        able = [player for player in self._players if player.falls]
        while able:
            self._rng.choice(able).fall()
            await asyncio.sleep(self._spec.fall_every_s * self._rng.uniform(*SPREAD) / self._spec.speed)

    def _player(self, device: Device, synthetic: Synthetic | None) -> Player:
        own = [r for r in self._recordings if r.subject == (device.address or device.id)]
        if not own:
            raise Misconfigured(
                "VIGIL_EDGE_CONFIG",
                f"{self._spec.dataset} has no subject {device.address!r} for device {device.id}",
            )
        wearer = Wearer(device.id, placement_of(device.worn), device.zone, synthetic)
        rng = Random(f"{self._spec.seed}/{device.id}")
        return Player(wearer, {r: self._samples[r] for r in own}, rng, self._spec.speed, self._utc)


class Player:
    """Plays one device.

    Attributes:
        wearer: Who wears it.
        falls: The recorded falls it can play.
    """

    def __init__(
        self,
        wearer: Wearer,
        recordings: dict[Recording, NDArray[np.int16]],
        rng: Random,
        speed: float,
        utc: Callable[[], datetime],
    ) -> None:
        self.wearer = wearer
        self.falls = [r for r in recordings if r.is_fall]
        self._calm = [r for r in recordings if not r.is_fall] or self.falls
        self._recordings, self._rng, self._speed, self._utc = recordings, rng, speed, utc
        self._falling = asyncio.Event()
        self._worn = wearable.begin(utc(), RATE_HZ * speed)

    def fall(self) -> None:
        """Break off what is being played, and play a fall."""
        self._falling.set()

    async def run(self, put: Put) -> None:
        """Play for ever: a recording, a rest, the next one."""
        posture = np.array((0.0, -1.0, 0.0), np.float32)
        await self._rest(put, posture, self._rng.uniform(0, REST_S))
        while True:
            await self._play(put, self._next())

    def _next(self) -> Recording:
        falls = self._falling.is_set()
        self._falling.clear()
        return self._rng.choice(self.falls if falls else self._calm)

    async def _play(self, put: Put, recording: Recording) -> None:
        played = self._recordings[recording].astype(np.float32) / np.float32(1000)
        self._worn = wearable.begin(self._utc(), RATE_HZ * self._speed, self._worn)
        if await self._hand_over(put, played, interruptible=not recording.is_fall):
            posture = played[-RATE_HZ // 2 :].mean(axis=0)
            await self._rest(put, posture, REST_S)
        self._worn, readings = wearable.end(self.wearer, self._worn)
        for reading in readings:
            await put(reading)

    async def _rest(self, put: Put, posture: NDArray[np.float32], seconds: float) -> None:
        noise = np.random.default_rng(self._rng.getrandbits(32))
        shaken = posture + noise.normal(0, NOISE_G, (int(seconds * RATE_HZ), 3))
        await self._hand_over(put, shaken.astype(np.float32), interruptible=seconds < REST_S)

    async def _hand_over(self, put: Put, played: NDArray[np.float32], *, interruptible: bool) -> bool:
        """Feed samples as time goes by; return False where a fall broke it off."""
        step = int(CHUNK_S * RATE_HZ)
        for at in range(0, len(played), step):
            if interruptible and self._falling.is_set():
                return False
            chunk = played[at : at + step]
            self._worn, readings = wearable.feed(self.wearer, self._worn, chunk)
            due = self._worn.began + timedelta(seconds=self._worn.state.end / self._worn.rate_hz)
            await asyncio.sleep(max((due - self._utc()).total_seconds(), 0.0))
            for reading in readings:
                await put(reading)
        return True


def _recording(row: dict[str, str]) -> Recording:
    falls = row["is_fall"] == "1"
    return Recording(row["code"], row["subject"], row["trial"], falls, int(row["start"]), int(row["end"]))
