"""Put devices on an uploaded plan: pure geometry.

Neighbours: `vigil.store.plans` has the plan's place in metres and the devices', `_uploaded.html` draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.store.plans import Pin, PlanRow

WIDTH: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Pinned:
    """A device at its point of the drawing."""

    pin: Pin
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Sheet:
    """A drawing with its devices, in a box of `WIDTH` by `height`.

    Attributes:
        outside: How many lie beyond its edges.
    """

    plan: PlanRow
    height: float
    pins: tuple[Pinned, ...]
    outside: int


def pin(plan: PlanRow, pins: Sequence[Pin]) -> Sheet:
    """Put the devices of an estate on its plan; north is up."""
    scale, height = WIDTH / plan.width_m, WIDTH * plan.high
    placed = [
        Pinned(one, (one.x_m - plan.west_m) * scale, height - (one.y_m - plan.south_m) * scale)
        for one in pins
        if one.estate == plan.estate
    ]
    on = tuple(one for one in placed if 0 <= one.x <= WIDTH and 0 <= one.y <= height)
    return Sheet(plan, height, on, len(placed) - len(on))
