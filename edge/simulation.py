"""An invented day: what a body does to an accelerometer, and a person to a home's sensors.

Place in the flow: `edge.sources.simulator` plays what is decided here.  Everything is a
pure function of a random generator, so that a seed makes the same day.  The shapes follow
what the recordings show: a walk of 1.9 steps a second and 0.25 g, a fall with a dip below
1 g, an impact of 3 to 5 g within 0.1 s, a body that lies afterwards and hardly moves.
They are made to be seen, not to measure a detector by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from random import Random

    from numpy.random import Generator
    from numpy.typing import NDArray

Movement = Literal["rest", "stand", "walk"]
Activity = Literal["asleep", "toilet", "cooking", "sitting", "tidying", "out"]
SensorKind = Literal["motion", "door", "bed", "appliance", "water_use"]

BEFORE_S: Final = 3.0
AFTER_S: Final = 27.0
"""Seconds of a simulated fall before and after its impact."""
UPRIGHT: Final = np.array((0.0, -1.0, 0.0))
"""Gravity as a device at the waist measures it while its wearer stands; SisFall's axes."""
_WAKING: Final = (6, 21)
_DWELL_MIN: Final[dict[Activity, tuple[float, float]]] = {
    "asleep": (60, 180),
    "toilet": (2, 6),
    "cooking": (8, 25),
    "sitting": (5, 30),
    "tidying": (3, 12),
    "out": (15, 60),
}
"""How long an activity lasts, in minutes."""
_LIKELY: Final[dict[Activity, float]] = {"toilet": 2, "cooking": 2, "sitting": 4, "tidying": 2, "out": 1}


def moving(movement: Movement, phase_s: float, seconds: float, noise: Generator) -> NDArray[np.float32]:
    """Return the samples of ordinary movement, shape (n, 3), in g.

    Args:
        movement: What the wearer does.
        phase_s: Seconds since the movement began, so that chunks join.
        seconds: Length.
        noise: Source of what no two steps share.
    """
    count = round(seconds * RATE_HZ)
    t = phase_s + np.arange(count) / RATE_HZ
    gait, spread = {"rest": (0.0, 0.006), "stand": (0.0, 0.02), "walk": (0.25, 0.05)}[movement]
    up = 1 + gait * np.sin(2 * np.pi * 1.9 * t) + 0.3 * gait * np.sin(2 * np.pi * 3.8 * t)
    sway = 0.4 * gait * np.sin(2 * np.pi * 0.95 * t)
    samples = up[:, None] * UPRIGHT + sway[:, None] * np.array((1.0, 0.0, 0.4))
    return _single(samples + noise.normal(0, spread, (count, 3)))


def bump(noise: Generator) -> NDArray[np.float32]:
    """Return two seconds in which the wearer sits down hard: an impact without a fall."""
    samples = moving("stand", 0.0, 2.0, noise)
    t = np.arange(len(samples)) / RATE_HZ - 0.8
    samples += _shock(t, noise.uniform(1.3, 1.8), 0.05)[:, None] * UPRIGHT.astype(np.float32)
    return samples


def falling(noise: Generator) -> NDArray[np.float32]:
    """Return a fall: `BEFORE_S` of walking, the impact, and `AFTER_S` on the floor."""
    count = round((BEFORE_S + AFTER_S) * RATE_HZ)
    t = np.arange(count) / RATE_HZ - BEFORE_S
    tilt = np.radians(noise.uniform(75, 100)) / (1 + np.exp(-(t + 0.15) / 0.09))
    azimuth = noise.uniform(0, 2 * np.pi)
    floor = np.array((np.cos(azimuth), 0.0, np.sin(azimuth)))
    gravity = np.cos(tilt)[:, None] * UPRIGHT + np.sin(tilt)[:, None] * floor
    dip = 1 - noise.uniform(0.45, 0.7) * np.exp(-(((t + 0.28) / 0.14) ** 2))
    blow = _shock(t, noise.uniform(2.2, 4.2), 0.055) + _shock(t - 0.34, noise.uniform(0.4, 0.9), 0.07)
    # The ground strikes against the fall, and a little from the side.
    direction = gravity + noise.uniform(-0.5, 0.5, 3)
    walking = np.where(t < -0.5, 0.22 * np.sin(2 * np.pi * 1.9 * t), 0.0)
    spread = np.where(t < -0.2, 0.05, 0.006 + 0.12 * np.exp(-np.clip(t, 0, None) / 0.8))
    samples = (dip + walking)[:, None] * gravity + blow[:, None] * direction
    return _single(samples + noise.normal(0, 1, (count, 3)) * spread[:, None])


def _single(samples: NDArray[np.float64]) -> NDArray[np.float32]:
    return samples.astype(np.float32)


def _shock(t: NDArray[np.float64], height_g: float, decay_s: float) -> NDArray[np.float64]:
    """Return a blow at t = 0 that rings out: rise within 30 ms, then a damped swing."""
    after = np.clip(t, 0, None)
    ringing = np.exp(-after / decay_s) * np.cos(2 * np.pi * 7 * after)
    rise = np.exp(-((np.clip(t, None, 0) / 0.03) ** 2))
    return height_g * np.where(t < 0, rise, ringing)


def movement_in(activity: Activity, rng: Random) -> Movement:
    """Return what a body does for the next seconds of an activity."""
    if activity in ("asleep", "sitting"):
        return "rest" if rng.random() < 0.95 else "stand"
    return rng.choice(
        ("stand", "walk", "walk") if activity in ("tidying", "out") else ("stand", "stand", "walk")
    )


def next_activity(now: Activity, hour: float, rng: Random) -> tuple[Activity, float]:
    """Return what a person does next at an hour of the day, and for how many seconds."""
    waking = _WAKING[0] <= hour < _WAKING[1]
    if now == "asleep":
        chosen: Activity = "toilet"
    elif not waking:
        chosen = "asleep"
    else:
        others = [activity for activity in _LIKELY if activity != now]
        chosen = rng.choices(others, [_LIKELY[activity] for activity in others])[0]
    low, high = _DWELL_MIN[chosen]
    return chosen, 60 * rng.uniform(low, high)


@dataclass(frozen=True, slots=True)
class Trace:
    """A sensor of the home changes, `after_s` seconds into the activity."""

    after_s: float
    kind: SensorKind
    on: bool


def traces(before: Activity, activity: Activity, lasts_s: float, rng: Random) -> list[Trace]:
    """Return what a change of activity does to the home's sensors, in order of time."""
    found: list[Trace] = []
    if before == "asleep":
        found.append(Trace(0.0, "bed", on=False))
    if before == "out":
        found += [Trace(0.0, "door", on=True), Trace(4.0, "door", on=False)]
    if activity == "asleep":
        found.append(Trace(60.0, "bed", on=True))
    if activity == "out":
        found += [Trace(20.0, "door", on=True), Trace(26.0, "door", on=False)]
    if activity == "cooking":
        found += [Trace(30.0, "appliance", on=True), Trace(0.7 * lasts_s, "appliance", on=False)]
    if activity in ("toilet", "cooking"):
        begins = rng.uniform(40, 90)
        found += [Trace(begins, "water_use", on=True), Trace(begins + 15, "water_use", on=False)]
    if activity not in ("out", "asleep"):
        found += _motion(activity, lasts_s, rng)
    return sorted(found, key=lambda trace: trace.after_s)


def _motion(activity: Activity, lasts_s: float, rng: Random) -> list[Trace]:
    """Return what a motion detector sees: often somebody who walks, seldom somebody who sits."""
    every = 240.0 if activity == "sitting" else 50.0
    found, at = [], 2.0
    while at < lasts_s:
        found += [Trace(at, "motion", on=True), Trace(at + 10, "motion", on=False)]
        at += 12 + rng.expovariate(1 / every)
    return found
