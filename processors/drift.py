"""Watch whether models are still shown what they were made on, by model and by device.

Place in the flow: `processors.scoring` hands every window with its score to `Watch.note`, which only
counts, in memory; `DriftTicker` brings the counts to the database once a minute and measures from
them, every ten minutes, how far the last four weeks lie from the reference beside the model
(`<placement>.reference.json`, written by `processors.falls.train`).

Rules
-----
1. The measure is the population stability index over the reference's tenths: below 0.1 nothing has
   changed, above 0.25 something has (Siddiqi 2006).  What chance alone would show with so few
   windows, (bins - 1) / n (Yurdakul 2018), is taken off.
2. The reference are windows of *daily life*, scored out of fold: a community has hardly any falls.
   They were staged to be eventful, so that a model's own index is high from the start; what matters
   is that it moves, and how far a device lies from its fleet.
3. A device far from its fleet is a device's fault (its gain, its range, its wearer); a whole fleet
   that moves is a model's.
4. Counts of at most a minute are lost with a process: a metric, not an account.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import numpy as np
import structlog
from prometheus_client import Gauge

from processors.ticker import ticking
from vigil.store import drift

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from numpy.typing import NDArray

    from vigil.clock import Clock
    from vigil.store.pool import Pool

MEASURES: Final = ("score", "peak_g", "lowest_g", "level_g", "restless_g", "at_range")
BINS: Final = 10
FEWEST: Final = 100
"""Windows below which nothing is said: chance alone would show 0.09."""
MOVED: Final = 0.25
LOOK_BACK: Final = timedelta(days=28)
EVERY_S: Final = 60.0
MEASURE_EVERY: Final = timedelta(minutes=10)
CALM: Final = slice(0, 75)
"""The samples before a blow, at 50 Hz, the blow at sample 100."""
AFTER: Final = slice(125, 200)

_psi = Gauge(
    "vigil_model_drift_psi",
    "Population stability index of the last 28 days against the model's reference.",
    ["detector", "version", "measure"],
)
_drifting = Gauge(
    "vigil_devices_drifting", "Devices whose windows lie far from those of their fleet.", ["detector"]
)
_log = structlog.get_logger(__name__)
Name: TypeAlias = tuple[str, str]
"""Detector and version."""
Place: TypeAlias = "tuple[str, date]"
"""A device, and on which day."""
Counts: TypeAlias = "dict[tuple[str, str, str, date], NDArray[np.int64]]"
"""By detector, version, device and day; in the bins of the model's reference."""


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model was made on, as far as drift is concerned.

    Attributes:
        version: Of the model.
        edges: Of each measure, in the order of `MEASURES`: inner bounds of its bins, rising.
        shares: Of each measure: how much of daily life lay in each bin.
        windows: How many windows of daily life these are.
    """

    version: str
    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    windows: int

    @property
    def sizes(self) -> list[int]:
        """How many bins each measure has."""
        return [len(shares) for shares in self.shares]

    def bins(self, measured: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return in which bins windows lie, shape (n, measures); those of all measures are numbered in one."""
        places = [
            np.searchsorted(edges, column, "right")
            for column, edges in zip(measured.T, self.edges, strict=True)
        ]
        bins: NDArray[np.int64] = np.stack(places, axis=1) + np.cumsum([0, *self.sizes[:-1]])
        return bins

    def counted(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count windows in their bins."""
        counts: NDArray[np.int64] = np.bincount(bins.ravel(), minlength=sum(self.sizes))
        return counts

    def binned(self, measured: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count windows, shape (n, measures), in the bins of all measures, one after the other."""
        return self.counted(self.bins(measured))

    def split(self, counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Take counts apart again, by measure."""
        return np.split(counts, np.cumsum(self.sizes)[:-1])


def measured(windows: NDArray[np.float32], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Measure windows.

    Args:
        windows: Shape (n, 200, 3), in g.
        scores: Their calibrated scores, shape (n,).

    Returns:
        Shape (n, len(MEASURES)): the score; the hardest and the lowest moment; the level before the
        blow (a device's gain and zero) and the restlessness after it; the share of samples that lie
        at the sensor's range.
    """
    size = np.linalg.norm(windows, axis=2)
    largest = np.abs(windows).max(axis=(1, 2), keepdims=True)
    columns = (
        scores,
        size.max(axis=1),
        size.min(axis=1),
        np.median(size[:, CALM], axis=1),
        size[:, AFTER].std(axis=1),
        (np.abs(windows) >= largest - 1e-3).mean(axis=(1, 2)),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def reference(version: str, daily: NDArray[np.float64]) -> Reference:
    """Make a model's reference of its windows of daily life, measured.

    Where a tenth of all windows share a value, there are fewer bins.
    """
    edges = [np.unique(np.quantile(column, np.arange(1, BINS) / BINS)) for column in daily.T]
    made = Reference(
        version=version,
        edges=tuple(tuple(float(edge) for edge in some) for some in edges),
        shares=tuple((0.0,) * (len(some) + 1) for some in edges),
        windows=len(daily),
    )
    shares = [counts / len(daily) for counts in made.split(made.binned(daily))]
    return msgspec.structs.replace(made, shares=tuple(tuple(map(float, some)) for some in shares))


def index(counts: NDArray[np.int64], expected: NDArray[np.number], known: float) -> float:
    """Return the population stability index of counts against expected ones, chance taken off.

    Args:
        counts: By bin.
        expected: By bin; shares or counts.
        known: How many windows `expected` comes from.
    """
    bins, n = len(counts), float(counts.sum())
    p = (counts + 0.5) / (n + 0.5 * bins)
    q = (expected / expected.sum() * known + 0.5) / (known + 0.5 * bins)
    raw = float(((p - q) * np.log(p / q)).sum())
    return max(raw - (bins - 1) * (1 / n + 1 / known), 0.0)


class Watch:
    """Counts what models are shown.  Safe to share between threads.

    Attributes:
        references: Of the models that are watched, by detector and version.
    """

    def __init__(self, references: Mapping[Name, Reference]) -> None:
        self.references = dict(references)
        self._counts: Counts = {}
        self._noted: dict[Name, list[tuple[Sequence[Place], NDArray[np.int64]]]] = {}
        self._lock = threading.Lock()

    def note(
        self,
        name: Name,
        windows: NDArray[np.float32],
        scores: NDArray[np.floating],
        devices: Sequence[Place],
    ) -> None:
        """Note windows of devices on days; those of a model without a reference are left out.

        They are counted by device when they are asked for: a batch is of as many devices as windows, and
        counting device by device took longer than the model.
        """
        known = self.references.get(name)
        if known is None:
            return
        bins = known.bins(measured(windows, scores))
        with self._lock:
            self._noted.setdefault(name, []).append((devices, bins))

    def take(self) -> Counts:
        """Return what was counted since the last time."""
        with self._lock:
            counts, self._counts = self._counts, {}
            noted, self._noted = self._noted, {}
        for name, some in noted.items():
            _add(counts, self._by_device(name, some))
        return counts

    def _by_device(self, name: Name, noted: Iterable[tuple[Sequence[Place], NDArray[np.int64]]]) -> Counts:
        rows: dict[Place, list[NDArray[np.int64]]] = {}
        for devices, bins in noted:
            for device, row in zip(devices, bins, strict=True):
                rows.setdefault(device, []).append(row)
        known = self.references[name]
        return {(*name, *device): known.counted(np.concatenate(some)) for device, some in rows.items()}

    def give_back(self, counts: Counts) -> None:
        """Count what could not be stored once more."""
        with self._lock:
            _add(self._counts, counts)


def _add(counts: Counts, more: Counts) -> None:
    for key, some in more.items():
        counts[key] = counts[key] + some if key in counts else some


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a device's windows lie off; None while they are too few."""

    device: str
    windows: int
    from_reference: float | None
    from_fleet: float | None
    measure: str | None


def of_fleet(known: Reference, fleet: NDArray[np.int64]) -> dict[str, float]:
    """Return how far a model's windows lie from its reference, by measure; empty where they are too few."""
    parts = known.split(fleet)
    if parts[0].sum() < FEWEST:
        return {}
    shares = (np.array(some) for some in known.shares)
    return {
        name: index(counts, expected, known.windows)
        for name, counts, expected in zip(MEASURES, parts, shares, strict=True)
    }


def of_device(known: Reference, device: str, counts: NDArray[np.int64], fleet: NDArray[np.int64]) -> Moved:
    """Return how far a device's windows lie from the reference and from those of the other devices."""
    parts, others = known.split(counts), known.split(fleet - counts)
    windows, beside = int(parts[0].sum()), int(others[0].sum())
    if windows < FEWEST:
        return Moved(device, windows, None, None, None)
    from_reference = of_fleet(known, counts)
    if beside < FEWEST:
        farthest = max(from_reference, key=lambda name: from_reference[name])
        return Moved(device, windows, from_reference[farthest], None, farthest)
    from_fleet = {
        name: index(mine, theirs, beside) for name, mine, theirs in zip(MEASURES, parts, others, strict=True)
    }
    farthest = max(from_fleet, key=lambda name: from_fleet[name])
    return Moved(device, windows, max(from_reference.values()), from_fleet[farthest], farthest)


class DriftTicker:
    """Brings counts to the database, and measures from them."""

    def __init__(self, pool: Pool, watch: Watch, clock: Clock) -> None:
        self._pool = pool
        self._watch = watch
        self._clock = clock
        self._measure_at: datetime | None = None

    async def run(self) -> None:
        """Do so for ever."""
        await ticking(self.step, EVERY_S, "drift")

    async def step(self) -> bool:
        """Store what was counted, and measure when it is time; there is never more to do at once."""
        counts = self._watch.take()
        try:
            async with self._pool.transaction() as connection:
                await drift.add(connection, {key: some.tolist() for key, some in counts.items()})
        except Exception:
            self._watch.give_back(counts)
            raise
        now = self._clock()
        if self._measure_at is None or now >= self._measure_at:
            self._measure_at = now + MEASURE_EVERY
            await self.measure(now)
        return False

    async def measure(self, now: datetime) -> None:
        """Measure every model that has a reference, and every device; what is too old goes."""
        async with self._pool.transaction() as connection:
            await drift.forget(connection, (now - 2 * LOOK_BACK).date())
            for (detector, version), known in self._watch.references.items():
                found = await drift.counted(connection, detector, version, (now - LOOK_BACK).date())
                fitting = _fitting(known, found)
                fleet = sum(fitting.values(), np.zeros(sum(known.sizes), np.int64))
                moved = [of_device(known, device, counts, fleet) for device, counts in fitting.items()]
                await drift.keep(connection, detector, version, moved, now)
                for measure, value in of_fleet(known, fleet).items():
                    _psi.labels(detector, version, measure).set(value)
                _drifting.labels(detector).set(_far(moved))


def _fitting(known: Reference, found: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return the counts that have this reference's bins: the same version may be packaged anew."""
    size = sum(known.sizes)
    return {device: np.array(counts, np.int64) for device, counts in found.items() if len(counts) == size}


def _far(moved: Iterable[Moved]) -> int:
    return sum(one.from_fleet is not None and one.from_fleet > MOVED for one in moved)
