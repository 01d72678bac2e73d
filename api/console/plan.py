"""Draw an estate's plan from the coordinates of its places: pure geometry.

Neighbours: `vigil.store.overview` reads the places, the template `_plan.html` draws.  Every place takes
the free cell of a grid that is nearest to where it lies: north stays up and east to the right, and no
place covers another, however close they are.  Places without coordinates stand in rows below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vigil.store.overview import Spot

WIDTH: Final = 800
COLUMNS: Final = 7
CELL: Final = WIDTH / COLUMNS
ROW: Final = 72
BOX: Final = (104, 58)
"""Of a place: within its cell, with a gap around."""
ROOM: Final = 1.5
"""Cells a place at least, so that most come near to where they lie."""
MOST_ROWS: Final = 9
"""A long and narrow estate is drawn no higher, nor one of few places, unless its places need it."""
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placed:
    """A place at its point of the plan, in a box of `WIDTH` by the plan's height.

    Attributes:
        residents: Flagged residents who live there.
        bare: How many of them nothing watches over now.
    """

    spot: Spot
    x: float
    y: float
    residents: int = 0
    bare: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """An estate's plan."""

    estate: str
    name: str
    height: float
    places: tuple[Placed, ...]


Lives = tuple[int, int]
"""How many flagged residents live in a place, and how many of them are not protected."""


def draw(spots: Sequence[Spot], lives: Mapping[tuple[str, str], Lives] | None = None) -> list[Plan]:
    """Return one plan an estate, in the order of the places.

    Args:
        spots: The places.
        lives: By estate and building (or id, of a place in no building).
    """
    by_estate: dict[str, list[Spot]] = {}
    for spot in spots:
        by_estate.setdefault(spot.estate, []).append(spot)
    return [_plan(estate, found, lives or {}) for estate, found in by_estate.items()]


def _plan(estate: str, spots: list[Spot], lives: Mapping[tuple[str, str], Lives]) -> Plan:
    known = [s for s in spots if s.x_m is not None and s.y_m is not None]
    cells, rows = _by_coordinates(known)
    rest = [s for s in spots if s.x_m is None or s.y_m is None]
    cells += [(n % COLUMNS, rows + n // COLUMNS) for n in range(len(rest))]
    places = tuple(
        Placed(spot, (column + 0.5) * CELL, (row + 0.5) * ROW, *_lives(spot, lives))
        for spot, (column, row) in zip([*known, *rest], cells, strict=True)
    )
    return Plan(estate, spots[0].estate_name, (rows - (-len(rest) // COLUMNS)) * ROW, places)


def _lives(spot: Spot, lives: Mapping[tuple[str, str], Lives]) -> Lives:
    return lives.get((spot.estate, spot.building or spot.zone), (0, 0))


def _by_coordinates(spots: list[Spot]) -> tuple[list[Cell], int]:
    """Give every place a cell of its own, and say how many rows that takes."""
    if not spots:
        return [], 0
    xs, ys = [s.x_m or 0.0 for s in spots], [s.y_m or 0.0 for s in spots]
    wide, high = max(max(xs) - min(xs), 1.0), max(ys) - min(ys)
    needed = math.ceil(len(spots) * ROOM / COLUMNS)
    shape = 1 + round((COLUMNS - 1) * CELL * high / wide / ROW)
    rows = max(needed, min(MOST_ROWS, len(spots) + 2, shape))
    scale = min((COLUMNS - 1) * CELL / wide, (rows - 1) * ROW / high if high else math.inf)
    wanted = [
        ((x - min(xs)) * scale / CELL, (max(ys) - y) * scale / ROW) for x, y in zip(xs, ys, strict=True)
    ]
    taken: dict[Cell, int] = {}
    for number in sorted(range(len(spots)), key=lambda n: (wanted[n][1], wanted[n][0], n)):
        taken[next(cell for cell in _outwards(wanted[number], rows) if cell not in taken)] = number
    cells = {number: cell for cell, number in taken.items()}
    first, last = min(row for _, row in taken), max(row for _, row in taken)
    return [(cells[n][0], cells[n][1] - first) for n in range(len(spots))], last - first + 1


def _outwards(wanted: tuple[float, float], rows: int) -> Iterator[Cell]:
    """Yield the cells of the grid, ring by ring around a point, the nearest of each ring first."""
    middle = (round(wanted[0]), round(wanted[1]))
    for radius in range(max(COLUMNS, rows) + 1):
        ring = [
            (column, row)
            for column in range(max(0, middle[0] - radius), min(COLUMNS - 1, middle[0] + radius) + 1)
            for row in range(max(0, middle[1] - radius), min(rows - 1, middle[1] + radius) + 1)
            if max(abs(column - middle[0]), abs(row - middle[1])) == radius
        ]
        yield from sorted(ring, key=lambda c: (math.dist(c, wanted), c))
