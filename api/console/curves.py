"""Draw figures over time as lines of an SVG: pure geometry.

Neighbours: `api.course` computes the values, the template `_curve.html` draws them with a legend and, for
who cannot see lines, the same numbers as a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from api.course import Line

WIDTH: Final = 640.0
HEIGHT: Final = 170.0
LEFT: Final = 44.0
"""Room for the numbers of the scale."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A value at its point."""

    x: float
    y: float
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line; it breaks where there is no value."""

    line: Line
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over one scale.

    Attributes:
        top: The largest number of the scale.
        marks: (number, height) of the scale.
        ticks: (x, moment) below it.
        goal: Height of the goal, where there is one.
    """

    lines: tuple[Drawn, ...]
    top: float
    marks: tuple[tuple[float, float], ...]
    ticks: tuple[tuple[float, datetime], ...]
    goal: float | None = None


def draw(
    edges: Sequence[datetime], lines: Sequence[Line], *, top: float | None = None, goal: float | None = None
) -> Curve | None:
    """Draw lines; None where there is not one value.

    Args:
        edges: Beginnings of the stretches, and the end of the last one.
        lines: Their values, one a stretch.
        top: The largest number of the scale; a round one above all values, where it is left out.
        goal: A value to be drawn across.
    """
    values = [value for line in lines for value in line.values if value is not None]
    if not values:
        return None
    scale = top or _round(max([*values, goal or 0.0]))
    step = (WIDTH - LEFT) / max(len(edges) - 2, 1)
    drawn = tuple(_drawn(edges, line, scale, step) for line in lines)
    shown = sorted({0, (len(edges) - 2) // 2, len(edges) - 2})
    return Curve(
        drawn,
        scale,
        tuple((scale * part, _height(scale * part, scale)) for part in (0, 0.5, 1)),
        tuple((LEFT + n * step, edges[n]) for n in shown),
        None if goal is None else _height(goal, scale),
    )


def _drawn(edges: Sequence[datetime], line: Line, scale: float, step: float) -> Drawn:
    dots = [
        None if value is None else Dot(LEFT + n * step, _height(value, scale), edges[n], value)
        for n, value in enumerate(line.values)
    ]
    pieces = [
        f"{'L' if n and dots[n - 1] else 'M'}{dot.x:.1f},{dot.y:.1f}" for n, dot in enumerate(dots) if dot
    ]
    return Drawn(line, "".join(pieces), tuple(dot for dot in dots if dot))


def _height(value: float, scale: float) -> float:
    return HEIGHT * (1 - min(value, scale) / scale)


def _round(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not below a number."""
    if most <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= most * 0.999)
