"""A jointed figure in a room, seen by a pin-hole camera: postures that no recording at hand shows.

Segments after Drillis and Contini (1966), in body lengths.  A posture is four numbers: how
far the trunk leans forward, where thighs and shanks point (degrees from straight down,
forward positive), and how high the hips are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.tracks import Points

SHANK, THIGH, TRUNK, NECK, ARM = 0.246, 0.245, 0.288, 0.12, 0.17


@dataclass(frozen=True)
class Posture:
    trunk: float
    thigh: float
    shank: float
    hips: float

    def towards(self, other: Posture, share: float) -> Posture:
        return Posture(*(a + (b - a) * share for a, b in zip(self._all, other._all, strict=True)))

    @property
    def _all(self) -> tuple[float, float, float, float]:
        return self.trunk, self.thigh, self.shank, self.hips


STAND = Posture(0, 0, 0, 0.53)
SIT = Posture(5, 85, 0, 0.28)
SITTING_DOWN = Posture(35, 55, -15, 0.40)
BEND = Posture(95, -10, -5, 0.51)
CROUCH = Posture(40, 110, -40, 0.16)
KNEEL = Posture(5, 0, -90, 0.28)
SIT_ON_FLOOR = Posture(0, 90, 90, 0.07)
ON_THE_BACK = Posture(-90, 90, 90, 0.07)
ON_THE_FACE = Posture(90, -90, -90, 0.07)
ON_THE_BED = Posture(-90, 90, 90, 0.32)

Course = tuple[tuple[float, Posture], ...]
"""Seconds from the beginning, and the posture reached by then."""

FALLS: dict[str, Course] = {
    "backwards": ((1.5, STAND), (2.3, ON_THE_BACK), (6.0, ON_THE_BACK)),
    "forwards": ((1.5, STAND), (2.2, ON_THE_FACE), (6.0, ON_THE_FACE)),
    "over the knees": ((1.5, STAND), (2.0, KNEEL), (2.7, ON_THE_FACE), (6.0, ON_THE_FACE)),
    "missing the chair": (
        (1.5, STAND),
        (1.9, SITTING_DOWN),
        (2.3, SIT_ON_FLOOR),
        (2.8, ON_THE_BACK),
        (6.0, ON_THE_BACK),
    ),
}
DAILY_LIFE: dict[str, Course] = {
    "standing": ((8.0, STAND),),
    "sitting down": ((1.5, STAND), (2.3, SITTING_DOWN), (3.0, SIT), (7.0, SIT)),
    "dropping into a chair": ((1.5, STAND), (1.9, SITTING_DOWN), (2.2, SIT), (7.0, SIT)),
    "bending": ((1.5, STAND), (2.5, BEND), (3.5, BEND), (4.5, STAND), (7.0, STAND)),
    "bending for long": ((1.5, STAND), (2.3, BEND), (9.0, BEND)),
    "crouching": ((1.5, STAND), (2.7, CROUCH), (9.0, CROUCH)),
    "kneeling down": ((1.5, STAND), (2.8, KNEEL), (9.0, KNEEL)),
    "lying down on a bed": ((1.5, STAND), (3.0, SIT), (5.0, ON_THE_BED), (9.0, ON_THE_BED)),
    "lying down on the floor": (
        (1.5, STAND),
        (3.0, CROUCH),
        (4.5, SIT_ON_FLOOR),
        (6.5, ON_THE_BACK),
        (9.0, ON_THE_BACK),
    ),
    "getting up": ((1.5, ON_THE_BACK), (3.0, SIT_ON_FLOOR), (4.5, CROUCH), (6.0, STAND), (8.0, STAND)),
}


@dataclass(frozen=True)
class Camera:
    """At `height_m`, looking at a point 0.8 m above the floor, `away_m` along the floor."""

    height_m: float = 2.2
    away_m: float = 4.0
    focal: float = 0.9  # in frame heights; 58 degrees from top to bottom
    aspect: float = 4 / 3

    def see(self, points: np.ndarray) -> np.ndarray:
        """Project points (n, 3) in metres, x aside, y away, z up, to frame heights."""
        eye = np.array((0.0, -self.away_m, self.height_m))
        ahead = np.array((0.0, self.away_m, 0.8 - self.height_m))
        ahead /= np.linalg.norm(ahead)
        aside = np.array((1.0, 0.0, 0.0))
        down = np.cross(ahead, aside)
        rays = points - eye
        depth = rays @ ahead
        return np.stack(
            (self.aspect / 2 + self.focal * (rays @ aside) / depth, 0.5 + self.focal * (rays @ down) / depth),
            1,
        )


def joints(posture: Posture, facing: float, tall_m: float = 1.65) -> np.ndarray:
    """Return the 17 joints in metres of a figure that stands in the middle of the room."""
    hips = np.array((0.0, posture.hips))
    shoulders = hips + TRUNK * _up(posture.trunk)
    face = shoulders + NECK * _up(posture.trunk)
    knees = hips - THIGH * _up(-posture.thigh)
    ankles = knees - SHANK * _up(-posture.shank)
    elbows = shoulders - ARM * _up(posture.trunk / 3)
    wrists = elbows - ARM * _up(posture.trunk / 3)
    places = [(face, 0.0), (face, 0.02), (face, -0.02), (face, 0.04), (face, -0.04)]
    for place, wide in (
        (shoulders, 0.11),
        (elbows, 0.13),
        (wrists, 0.13),
        (hips, 0.06),
        (knees, 0.06),
        (ankles, 0.06),
    ):
        places += [(place, wide), (place, -wide)]
    turned = radians(facing)
    return tall_m * np.array(
        [
            (w * cos(turned) + p[0] * sin(turned), -w * sin(turned) + p[0] * cos(turned), max(p[1], 0.03))
            for p, w in places
        ]
    )


def film(course: Course, camera: Camera, facing: float, rate_hz: float = 8.0) -> list[tuple[float, Points]]:
    """Return the joints as the camera sees them, with their times."""
    times = np.arange(0, course[-1][0], 1 / rate_hz)
    return [(float(t), _seen(camera.see(joints(_at(course, float(t)), facing)))) for t in times]


def _seen(places: np.ndarray) -> Points:
    """Give every joint the confidence MoveNet usually has."""
    return np.column_stack((places, np.full(len(places), 0.6))).astype(np.float32)


def _at(course: Sequence[tuple[float, Posture]], time_s: float) -> Posture:
    """Return the posture at a moment, each joint moving smoothly from stop to stop."""
    begun, before = 0.0, course[0][1]
    for until, posture in course:
        if time_s <= until:
            share = (time_s - begun) / (until - begun)
            return before.towards(posture, share * share * (3 - 2 * share))
        begun, before = until, posture
    return before


def _up(forward: float) -> np.ndarray:
    """Return the direction, forward and up, of a segment that leans forward by so many degrees."""
    return np.array((sin(radians(forward)), cos(radians(forward))))
