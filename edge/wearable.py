"""One worn accelerometer: its samples in, suspected falls, stillness and activity out.

Place in the flow: every source of samples (`edge.sources`) has a `Wearable` for each
device; `edge.trigger` finds the impacts, this maps sample numbers to time and gives
episodes their names.

A window within `EPISODE_S` of the one before belongs to the same episode: the stumble, the
fall and the second impact are one event in somebody's life.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np

from edge import trigger
from edge.reading import Reading
from vigil.events import FallSuspected, Readings, Stillness
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.events import Data, Synthetic

Placement = Literal["waist", "chest", "wrist"]
EPISODE_S: Final = 30.0
ACTIVITY_S: Final = 60
"""Seconds of activity, one value each, in a batch of telemetry."""
MG_LIMIT: Final = 32767


@dataclass(frozen=True, slots=True)
class Wearer:
    """Whose samples these are.

    Attributes:
        device: Id of the device.
        placement: Where it is worn.
        zone: Where it is, if it is always there.
        synthetic: Marks all that it sends.
    """

    device: str
    placement: Placement
    zone: str | None = None
    synthetic: Synthetic | None = None


@dataclass(frozen=True, slots=True)
class Worn:
    """What is remembered of a stream between two chunks.

    Attributes:
        began: Time of sample 0.
        rate_hz: Samples a second of real time; more than 50 where a recording plays fast.
        state: The trigger's.
        episodes: Episode of each peak whose stillness is still to come, and its time.
        last: Time and name of the latest episode.
        seconds: Activity of the seconds that have not been sent, oldest first.
        spare: Samples that do not yet make a second.
    """

    began: datetime
    rate_hz: float = RATE_HZ
    state: trigger.State = field(default_factory=trigger.State)
    episodes: tuple[tuple[int, str], ...] = ()
    last: tuple[datetime, str] | None = None
    seconds: tuple[float, ...] = ()
    spare: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 3), np.float32))


def begin(at: datetime, rate_hz: float = RATE_HZ, before: Worn | None = None) -> Worn:
    """Begin a stream whose first sample is taken at `at`, after the stream `before`, if any."""
    return Worn(at, rate_hz, last=before.last if before else None)


def feed(wearer: Wearer, worn: Worn, chunk: NDArray[np.float32]) -> tuple[Worn, list[Reading]]:
    """Take the next samples, shape (n, 3), in g.

    Returns:
        The state to go on with, and the readings found.
    """
    state, found = trigger.step(worn.state, chunk)
    worn, readings = _told(wearer, replace(worn, state=state), found)
    worn, activity = _activity(wearer, worn, chunk)
    return worn, readings + activity


def end(wearer: Wearer, worn: Worn) -> tuple[Worn, list[Reading]]:
    """End a stream: report what waited for more samples, and the activity so far."""
    worn, readings = _told(wearer, worn, trigger.finish(worn.state))
    if worn.seconds:
        readings.append(_batch(wearer, worn, worn.seconds, worn.state.end))
    return replace(worn, seconds=()), readings


def fall_suspected(
    window: trigger.Window, placement: Placement, episode: str, zone: str | None
) -> FallSuspected:
    """Return a window as the event's data, in whole milli-g."""
    milli = np.clip(np.rint(window.accel_g * 1000), -MG_LIMIT, MG_LIMIT).astype(np.int64)
    return FallSuspected(
        accel_mg=milli.ravel().tolist(),
        peak_g=round(window.peak_g, 3),
        placement=placement,
        episode=episode,
        zone=zone,
    )


def _told(
    wearer: Wearer,
    worn: Worn,
    found: tuple[trigger.Window | trigger.Stillness, ...],
) -> tuple[Worn, list[Reading]]:
    readings = []
    for item in found:
        at = _time_of(worn, item.peak)
        data: Data
        if isinstance(item, trigger.Window):
            worn, episode = _episode(wearer, worn, item.peak, at)
            data = fall_suspected(item, wearer.placement, episode, wearer.zone)
        else:
            episode = dict(worn.episodes)[item.peak]
            worn = replace(worn, episodes=tuple(e for e in worn.episodes if e[0] != item.peak))
            data = Stillness(
                episode=episode, still_s=item.still_s, watched_s=item.watched_s, zone=wearer.zone
            )
        readings.append(Reading(wearer.device, data, at, wearer.synthetic))
    return worn, readings


def _episode(wearer: Wearer, worn: Worn, peak: int, at: datetime) -> tuple[Worn, str]:
    if worn.last and at - worn.last[0] <= timedelta(seconds=EPISODE_S):
        name = worn.last[1]
    else:
        name = f"{wearer.device}-{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}"
    return replace(worn, last=(at, name), episodes=(*worn.episodes, (peak, name))), name


def _activity(wearer: Wearer, worn: Worn, chunk: NDArray[np.float32]) -> tuple[Worn, list[Reading]]:
    """Measure how much each whole second moved: the standard deviation of the magnitude, in g."""
    samples = np.concatenate((worn.spare, chunk))
    whole = len(samples) // RATE_HZ
    size = np.linalg.norm(samples[: whole * RATE_HZ].reshape(whole, RATE_HZ, 3), axis=2)
    # What is missing counts as a device at rest: a gap in the radio is no movement.
    moved = [round(float(value), 3) for value in np.where(np.isfinite(size), size, 1).std(axis=1)]
    seconds = (*worn.seconds, *moved)
    worn = replace(worn, spare=samples[whole * RATE_HZ :].copy())
    if len(seconds) < ACTIVITY_S:
        return replace(worn, seconds=seconds), []
    return replace(worn, seconds=()), [_batch(wearer, worn, seconds, worn.state.end - len(worn.spare))]


def _batch(wearer: Wearer, worn: Worn, seconds: tuple[float, ...], last: int) -> Reading:
    interval = RATE_HZ / worn.rate_hz
    data = Readings(quantity="activity_g", interval_s=interval, values=list(seconds), zone=wearer.zone)
    first = max(last - len(seconds) * RATE_HZ, 0)
    return Reading(wearer.device, data, _time_of(worn, first), wearer.synthetic)


def _time_of(worn: Worn, sample: int) -> datetime:
    return worn.began + timedelta(seconds=sample / worn.rate_hz)


def placement_of(name: str | None) -> Placement:
    """Return where a wearable is worn; without a statement, at the waist."""
    return cast("Placement", name or "waist")
