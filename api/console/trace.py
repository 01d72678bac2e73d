"""Draw an impact window as an SVG path: pure geometry.

Neighbour: the template `_trace.html` puts the numbers into the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 800
HEIGHT: Final = 200
LEAST_TOP_G: Final = 3.0
"""The scale reaches at least this far, so that a small bump does not look like a crash."""


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line at a whole number of g."""

    g: int
    y: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis, in seconds from the peak."""

    seconds: int
    x: float


@dataclass(frozen=True, slots=True)
class Trace:
    """What is drawn, in a box of `WIDTH` by `HEIGHT`.

    Attributes:
        path: The magnitude over time, as an SVG path.
        peak_x: Where the peak is.
        peak_y: Its height.
        peak_g: Its size.
        lines: Whole g.
        ticks: Whole seconds.
    """

    path: str
    peak_x: float
    peak_y: float
    peak_g: float
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]


def draw(accel_mg: Sequence[int], rate_hz: float) -> Trace | None:
    """Draw a window of x, y, z in milli-g, flattened; None where there is nothing to draw."""
    magnitudes = [math.hypot(*accel_mg[i : i + 3]) / 1000 for i in range(0, len(accel_mg) - 2, 3)]
    if len(magnitudes) < 2 or rate_hz <= 0:
        return None
    top = max(LEAST_TOP_G, math.ceil(max(magnitudes) + 0.2))
    peak = max(range(len(magnitudes)), key=magnitudes.__getitem__)
    step = WIDTH / (len(magnitudes) - 1)
    points = [f"{i * step:.1f},{_height(g, top):.1f}" for i, g in enumerate(magnitudes)]
    return Trace(
        "M" + "L".join(points),
        peak * step,
        _height(magnitudes[peak], top),
        magnitudes[peak],
        _lines(top),
        _ticks(len(magnitudes), peak, rate_hz, step),
    )


def _height(g: float, top: float) -> float:
    return HEIGHT * (1 - g / top)


def _lines(top: float) -> tuple[Line, ...]:
    """Return at most five lines, the one at rest (1 g) always among them."""
    every = max(1, math.ceil(top / 5))
    wanted = sorted({1, *range(every, math.ceil(top), every)})
    return tuple(Line(g, _height(g, top)) for g in wanted)


def _ticks(samples: int, peak: int, rate_hz: float, step: float) -> tuple[Tick, ...]:
    first, last = math.ceil(-peak / rate_hz), math.floor((samples - 1 - peak) / rate_hz)
    return tuple(Tick(s, (peak + s * rate_hz) * step) for s in range(first, last + 1))
