"""Draw a sequence of key points as a strip of stick figures: pure geometry.

Neighbour: the template `_pose.html` puts the lines into the picture.  No picture of anybody is needed for
this: the camera has sent 17 points a frame, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CELL: Final = 120
HEIGHT: Final = 150
FIGURES: Final = 7
"""Enough to see how somebody went down; more would be too small on a telephone."""
SURE: Final = 20
"""Percent of confidence below which a point is not drawn."""
_PAD: Final = 12
BONES: Final = (
    *((5, 6), (11, 12), (5, 11), (6, 12)),
    *((5, 7), (7, 9), (6, 8), (8, 10)),
    *((11, 13), (13, 15), (12, 14), (14, 16)),
)
"""Pairs of COCO's 17 points: trunk, arms, legs."""
HEAD: Final = (0, 1, 2, 3, 4)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One moment: bones as an SVG path, the head as a circle, and how many seconds after the first one.

    Attributes:
        x: Left edge of its cell.
        head: Middle of the head; None where the camera did not see it.
    """

    x: float
    path: str
    head: Point | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Strip:
    """Figures side by side, in a box of `width` by `HEIGHT`, all at one scale."""

    figures: tuple[Figure, ...]
    width: float


def draw(keypoints: Sequence[Sequence[int]], rate_hz: float, aspect: float) -> Strip | None:
    """Draw a sequence of frames; None where nothing is sure enough to be drawn.

    Args:
        keypoints: As `vigil.events.PoseSuspected` has them.
        rate_hz: Frames a second.
        aspect: Width divided by height of the frame.
    """
    frames = [_points(frame, aspect) for frame in keypoints]
    seen = [point for frame in frames for point in frame.values()]
    if not seen or rate_hz <= 0:
        return None
    top = min(y for _, y in seen)
    wide = max(right - left for left, right in map(_across, frames))
    high = max(y for _, y in seen) - top
    scale = min((CELL - 2 * _PAD) / max(wide, 1e-6), (HEIGHT - 2 * _PAD) / max(high, 1e-6))
    figures = tuple(
        _figure(frames[index], top, scale, number, index / rate_hz)
        for number, index in enumerate(_chosen(len(frames)))
    )
    return Strip(figures, CELL * len(figures))


def _points(frame: Sequence[int], aspect: float) -> dict[int, Point]:
    """Return the points of a frame that are sure, in one unit for both axes."""
    return {
        n: (frame[3 * n] * aspect, float(frame[3 * n + 1]))
        for n in range(len(frame) // 3)
        if frame[3 * n + 2] >= SURE
    }


def _across(points: dict[int, Point]) -> tuple[float, float]:
    """Return the left and the right end of a body."""
    xs = [x for x, _ in points.values()] or [0.0]
    return min(xs), max(xs)


def _chosen(frames: int) -> list[int]:
    """Choose frames evenly, the first and the last among them."""
    figures = min(FIGURES, frames)
    return [round(n * (frames - 1) / max(figures - 1, 1)) for n in range(figures)]


def _figure(points: dict[int, Point], top: float, scale: float, number: int, seconds: float) -> Figure:
    """Draw a body in the middle of its cell, at the height where the camera saw it."""
    middle = sum(_across(points)) / 2
    moved = {
        n: ((number + 0.5) * CELL + (x - middle) * scale, _PAD + (y - top) * scale)
        for n, (x, y) in points.items()
    }
    lines = [(moved[a], moved[b]) for a, b in BONES if a in moved and b in moved]
    path = "".join(f"M{a[0]:.1f},{a[1]:.1f}L{b[0]:.1f},{b[1]:.1f}" for a, b in lines)
    return Figure(number * CELL, path, _middle([moved[n] for n in HEAD if n in moved]), seconds)


def _middle(points: list[Point]) -> Point | None:
    if not points:
        return None
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
