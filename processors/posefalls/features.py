"""Describe a sequence of key points by a few measures that mean something to a person.

Place in the flow: `edge.vision` cuts the sequence around a trunk's drop, this module measures
it, and `processors.posefalls.model` scores what was measured.  Lengths are in body lengths
of the person at hand and heights are differences, so that near and far, left and right,
large and small pictures measure alike.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vigil.events import PoseSuspected

Joints: TypeAlias = NDArray[np.float64]
"""Shape (frames, 17, 3): x and y in frame heights, y downwards, and confidence from 0 to 1."""
Series: TypeAlias = NDArray[np.float64]
"""One value a frame; NaN where it was not seen."""

FORMULAS: Final = 1
"""Raised by hand whenever a formula changes under an unchanged name."""
SURE: Final = 0.2
"""Confidence from which a joint's place is used, as at the edge."""
TRUNK: Final = 0.33
"""Shoulders to hips in body lengths, as MoveNet sets these points (0.31 to 0.37 on people standing
in UP-Fall's trial 1); between the joints' centres it is 0.29 (Drillis and Contini 1966)."""
HEAD_TO_ANKLES: Final = 0.90
"""Face to ankles in body lengths (the same: 0.936 - 0.039)."""
BEFORE_S: Final = 1.0
AFTER_S: Final = 0.75
SPEED_OVER_S: Final = 0.5
FACE, SHOULDERS, HIPS, ANKLES = slice(0, 5), slice(5, 7), slice(11, 13), slice(15, 17)


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What a sequence shows; 0 throughout where no trunk is seen.

    Attributes:
        shoulders_sunk: How far the shoulders are below where they were, in body lengths:
            about 0.26 for sitting down, 0.4 for bending, 0.7 and more for lying.
        hips_sunk: The same of the hips: 0.1 for bending, 0.26 for sitting, 0.4 and more for lying.
        speed: The fastest sinking of the shoulders, in body lengths a second.
        trunk_upright: Height of the trunk at the end as a share of a standing person's: 1
            upright, 0.5 leaning by 60 degrees, 0 lying, below 0 head down towards the camera.
        seen_after: Share of the last frames in which the trunk was seen.
        body: The body's length as seen, in frame heights.
    """

    shoulders_sunk: float = 0.0
    hips_sunk: float = 0.0
    speed: float = 0.0
    trunk_upright: float = 1.0
    seen_after: float = 0.0
    body: float = 0.0


def schema_hash() -> str:
    """Return what a rule must have been made for to mean anything."""
    text = "\n".join((str(FORMULAS), *Measures.__struct_fields__))
    return hashlib.sha256(text.encode()).hexdigest()


def joints_of(event: PoseSuspected) -> Joints:
    """Return an event's key points in frame heights."""
    raw = np.array(event.keypoints, np.float64).reshape(-1, 17, 3)
    return raw / (1000 / event.aspect, 1000, 100)


def measure(event: PoseSuspected) -> Measures:
    """Measure a sequence."""
    joints = joints_of(event)
    shoulders, hips = height(joints, SHOULDERS), height(joints, HIPS)
    seen = np.flatnonzero(np.isfinite(shoulders) & np.isfinite(hips))
    body = body_length(joints, event.rate_hz)
    if len(seen) < 3 or body == 0.0:
        return Measures()
    last = _last(seen, len(joints), event.rate_hz)
    trunk = float(np.median(hips[last] - shoulders[last]))
    return Measures(
        shoulders_sunk=_sunk(shoulders, last, event.rate_hz) / body,
        hips_sunk=_sunk(hips, last, event.rate_hz) / body,
        speed=_speed(shoulders, event.rate_hz) / body,
        trunk_upright=trunk / (TRUNK * body),
        seen_after=float(np.mean(np.isfinite(shoulders + hips)[-round(AFTER_S * event.rate_hz) :])),
        body=body,
    )


def height(joints: Joints, part: slice) -> Series:
    """Return the mean y of a part's sure joints, frame by frame."""
    return middle(joints, part)[:, 1]


def middle(joints: Joints, part: slice) -> NDArray[np.float64]:
    """Return the middle of a part's sure joints, shape (frames, 2); NaN where none is sure."""
    sure = joints[:, part, 2] >= SURE
    total = np.where(sure[..., None], joints[:, part, :2], 0.0).sum(axis=1)
    count = sure.sum(axis=1)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)


def body_length(joints: Joints, rate_hz: float) -> float:
    """Return the length of the body as it stood before: the upper quartile of the first second.

    Of a body not seen then, of the whole sequence; 0 where neither shows a trunk or a body
    from face to ankles.
    """
    trunk = np.hypot(*(middle(joints, HIPS) - middle(joints, SHOULDERS)).T) / TRUNK
    whole = np.hypot(*(middle(joints, ANKLES) - middle(joints, FACE)).T) / HEAD_TO_ANKLES
    shown = np.fmax(trunk, whole)
    first, known = shown[: round(BEFORE_S * rate_hz)], shown[np.isfinite(shown)]
    first = first[np.isfinite(first)]
    return float(np.percentile(first if len(first) else known, 75)) if len(known) else 0.0


def _last(seen: NDArray[np.intp], frames: int, rate_hz: float) -> NDArray[np.intp]:
    """Return the frames that show how it ended: the last `AFTER_S`, or the last three seen."""
    late = seen[seen >= frames - round(AFTER_S * rate_hz)]
    return late if len(late) >= 2 else seen[-3:]


def _sunk(heights: Series, last: NDArray[np.intp], rate_hz: float) -> float:
    """Return how far a part is, at the end, below its high place in the first second."""
    first = heights[: round(BEFORE_S * rate_hz)]
    first = first[np.isfinite(first)]
    if not len(first):
        first = heights[np.isfinite(heights)][:3]
    return float(np.median(heights[last]) - np.percentile(first, 20))


def _speed(heights: Series, rate_hz: float) -> float:
    """Return the fastest sinking over `SPEED_OVER_S`, in frame heights a second."""
    times = np.flatnonzero(np.isfinite(heights)) / rate_hz
    known = heights[np.isfinite(heights)]
    grid = np.arange(0, times[-1] - times[0], 1 / rate_hz) + times[0]
    even = np.interp(grid, times, known)
    apart = max(round(SPEED_OVER_S * rate_hz), 1)
    return float((even[apart:] - even[:-apart]).max(initial=0.0)) * rate_hz / apart
