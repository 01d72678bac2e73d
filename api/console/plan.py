"""Draw an estate's plan from the coordinates of its places: pure geometry.

Neighbours: `vigil.store.overview` reads the places, the template `_plan.html` draws.  Places
without coordinates stand in rows below the others, so that none is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.store.overview import Spot

WIDTH: Final = 800
MARGIN: Final = 70
COLUMNS: Final = 6
ROW: Final = 96


@dataclass(frozen=True, slots=True)
class Placed:
    """A place at its point of the plan, in a box of `WIDTH` by the plan's height."""

    spot: Spot
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Plan:
    """An estate's plan."""

    estate: str
    name: str
    height: float
    places: tuple[Placed, ...]


def draw(spots: Sequence[Spot]) -> list[Plan]:
    """Return one plan an estate, in the order of the places."""
    by_estate: dict[str, list[Spot]] = {}
    for spot in spots:
        by_estate.setdefault(spot.estate, []).append(spot)
    return [_plan(estate, found) for estate, found in by_estate.items()]


def _plan(estate: str, spots: list[Spot]) -> Plan:
    known = [s for s in spots if s.x_m is not None and s.y_m is not None]
    placed, height = _by_coordinates(known)
    rest = [s for s in spots if s.x_m is None or s.y_m is None]
    placed += [_in_rows(spot, n, height) for n, spot in enumerate(rest)]
    rows = -(-len(rest) // COLUMNS)
    return Plan(estate, spots[0].estate_name, height + rows * ROW, tuple(placed))


def _by_coordinates(spots: list[Spot]) -> tuple[list[Placed], float]:
    """Scale to the width; north (y) is up."""
    if not spots:
        return [], 0.0
    xs, ys = [s.x_m or 0.0 for s in spots], [s.y_m or 0.0 for s in spots]
    scale = (WIDTH - 2 * MARGIN) / max(max(xs) - min(xs), max(ys) - min(ys), 1.0)
    top = max(ys)
    placed = [
        Placed(s, MARGIN + (x - min(xs)) * scale, MARGIN + (top - y) * scale)
        for s, x, y in zip(spots, xs, ys, strict=True)
    ]
    return placed, 2 * MARGIN + (top - min(ys)) * scale


def _in_rows(spot: Spot, n: int, below: float) -> Placed:
    column, row = n % COLUMNS, n // COLUMNS
    return Placed(spot, (column + 0.5) * WIDTH / COLUMNS, below + (row + 0.5) * ROW)
