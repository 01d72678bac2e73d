"""Look at the picture itself: black out what is private, notice motion, notice a bad camera.

Place in the flow: `edge.camera` hands every frame to `burn` before anything else sees it,
asks `Motion` whether looking for people is worth it, and has `step` judge about once a
second whether the camera still sees what it was hung up to see.  Pure but for the background
model inside `Motion`; time is an input.

The state machine of a camera's trouble:

1. A reference (edges and sharpness) is learnt from the first `LEARN` sound looks, one for
   colour and one for the grey pictures of infra-red light, and follows slow change.
2. `frozen`: not one pixel has changed for `FROZEN_S` although frames arrive.
3. `covered`: hardly any contrast.  `dark`: hardly any light.  `defocused`: far less detail
   than the reference.  `turned`: the edges lie elsewhere or are others.  Each must last
   `LASTS_S` without a pause, and ends as soon as the picture is as it was.
4. While there is any trouble the reference is left alone: a turned camera does not become
   normal by hanging there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Frame: TypeAlias = NDArray[np.uint8]
"""BGR, shape (height, width, 3)."""
Polygon: TypeAlias = tuple[tuple[float, float], ...]
"""Corners x, y in fractions of the frame's width and height."""

GATE_SIZE: Final = (160, 120)
"""Width and height on which motion is sought: a person 3 m away is 60 pixels high."""
LOOK_SIZE: Final = (320, 240)
"""Width and height on which the picture is judged; defocus shows down to this."""
MOVING: Final = 0.002
"""Share of changed pixels from which something moves: 38 of 19,200, a person's hand."""
HISTORY: Final = 300
"""Analysed frames that the background is learnt from: half a minute."""
LEARN: Final = 10
FOLLOW: Final = 1 / 600
"""Share of each second's look in the reference: it follows the day's light within minutes."""
LASTS_S: Final = 10.0
FROZEN_S: Final = 20.0
"""Longer than an encoder's longest group of pictures (about 10 s), in which a still room may stand still."""
DARK: Final = 12.0
"""Mean grey level, of 255."""
FLAT: Final = 8.0
"""Standard deviation of grey below which nothing is to be seen; a plain room has 30 to 60."""
DEFOCUSED: Final = 0.6
"""Share of the reference's detail that is gone."""
TURNED: Final = 0.04
"""Shift in widths of the picture; less does not move a zone's border by half a person."""
UNLIKE: Final = 0.35
"""Correlation of edges below which it is another picture; people walking about leave 0.7."""
REACH: Final = 0.15
"""Share of the picture's sides within which a shift is measured."""
COLOURLESS: Final = 4.0
"""Mean distance between a pixel's channels; infra-red pictures have 0 to 2."""


def burn(frame: Frame, masks: Sequence[Polygon]) -> Frame:
    """Blacken the private areas in the frame itself, beyond recovery, and return it."""
    height, width = frame.shape[:2]
    for mask in masks:
        corners = np.rint(np.array(mask) * (width, height)).astype(np.int32)
        cv2.fillPoly(frame, [corners], (0, 0, 0))
    return frame


def inside(polygon: Polygon, x: float, y: float) -> bool:
    """Tell whether a point lies in a polygon, its border included."""
    return cv2.pointPolygonTest(np.array(polygon, np.float32), (x, y), measureDist=False) >= 0


class Motion:
    """Tells which share of the picture differs from its background (MOG2, Zivkovic 2004)."""

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(HISTORY, 16, detectShadows=False)
        self._primed = False

    def share(self, frame: Frame) -> float:
        """Return the share of pixels that changed, 0 to 1, and learn the frame; 0 for the first."""
        small = cv2.cvtColor(cv2.resize(frame, GATE_SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        changed = cv2.medianBlur(self._background.apply(small), 3)
        first, self._primed = not self._primed, True
        return 0.0 if first else cv2.countNonZero(changed) / changed.size


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one look at the picture measured.

    Attributes:
        grey: `LOOK_SIZE`, for the change since the last look.
        edges: Strength of the edges on `GATE_SIZE`.
        brightness: Mean grey level.
        contrast: Standard deviation of grey.
        detail: Variance of the Laplacian (Pech-Pacheco 2000) over that of grey: sharpness in any light.
        colour: False for the grey pictures of a camera in infra-red light.
    """

    grey: Frame
    edges: NDArray[np.float32]
    brightness: float
    contrast: float
    detail: float
    colour: bool


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the camera was hung up to see, as the mean of `looks`."""

    edges: NDArray[np.float32]
    detail: float
    looks: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Health:
    """What is known of a camera's picture; the fields of the same names go out as health.

    Attributes:
        change: Mean change of grey since the last look; None before the second.
        blur: Share of the reference's detail that is gone; None until there is one.
        shift: How far the picture has moved, in its widths; 1 where it is another picture.
        since: When each trouble that may last began.
        changed_s: When any pixel changed last.
    """

    look: Look | None = None
    references: Mapping[bool, Reference] = field(default_factory=dict)
    change: float | None = None
    blur: float | None = None
    shift: float | None = None
    since: Mapping[str, float] = field(default_factory=dict)
    changed_s: float = 0.0
    time_s: float = 0.0

    @property
    def trouble(self) -> list[str]:
        """Every trouble that has lasted long enough, in alphabetical order."""
        lasting = [name for name, begun in self.since.items() if self.time_s - begun >= LASTS_S]
        frozen = ["frozen"] if self.time_s - self.changed_s >= FROZEN_S else []
        return sorted(lasting + frozen)


def look(frame: Frame) -> Look:
    """Measure a frame (masks burned in)."""
    small = cv2.resize(frame, LOOK_SIZE, interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
    mean, deviation = cv2.meanStdDev(grey)
    spread = small.max(axis=2).astype(np.int16) - small.min(axis=2)
    return Look(
        grey=grey,
        edges=_edges(grey),
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        detail=float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(float(deviation[0, 0]) ** 2, 1.0),
        colour=bool(spread.mean() > COLOURLESS),
    )


def step(health: Health, seen: Look, time_s: float) -> Health:
    """Judge a look.

    Args:
        health: What the last step returned.
        seen: From `look`.
        time_s: When the frame was taken, in seconds, increasing from step to step.
    """
    change = None if health.look is None else float(cv2.absdiff(seen.grey, health.look.grey).mean())
    reference = health.references.get(seen.colour)
    ready = reference if reference and reference.looks >= LEARN else None
    blur = max(1 - seen.detail / max(ready.detail, 1e-6), 0.0) if ready else None
    shift = _shift(ready.edges, seen.edges) if ready else None
    now = set(_troubles(seen, blur, shift))
    judged = replace(
        health,
        look=seen,
        change=change,
        blur=blur,
        shift=shift,
        since={name: health.since.get(name, time_s) for name in now},
        changed_s=health.changed_s if change == 0.0 else time_s,
        time_s=time_s,
    )
    return (
        judged
        if now
        else replace(judged, references={**health.references, seen.colour: _learnt(reference, seen)})
    )


def _troubles(seen: Look, blur: float | None, shift: float | None) -> Iterator[str]:
    """Yield what is wrong with this look; what hides the picture hides its other faults."""
    if seen.contrast < FLAT and seen.brightness >= DARK:
        yield "covered"
    elif seen.brightness < DARK:
        yield "dark"
    elif blur is not None and blur > DEFOCUSED:
        yield "defocused"
    elif shift is not None and shift > TURNED:
        yield "turned"


def _learnt(reference: Reference | None, seen: Look) -> Reference:
    """Add a look to a reference: the plain mean at first, then a slow follower."""
    if reference is None:
        return Reference(seen.edges, seen.detail)
    share = max(1 / (reference.looks + 1), FOLLOW)
    edges = reference.edges + np.float32(share) * (seen.edges - reference.edges)
    return Reference(edges, reference.detail + share * (seen.detail - reference.detail), reference.looks + 1)


def _edges(grey: Frame) -> NDArray[np.float32]:
    """Return the strength of the edges, softened by about a pixel of `GATE_SIZE`."""
    small = cv2.resize(grey, GATE_SIZE, interpolation=cv2.INTER_AREA)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.GaussianBlur(np.sqrt(cv2.magnitude(across, down)), (5, 5), 0), np.float32)


def _shift(reference: NDArray[np.float32], edges: NDArray[np.float32]) -> float:
    """Return how far the edges have moved, in widths; 1 where they are not to be found."""
    height, width = reference.shape
    beside, above = round(width * REACH), round(height * REACH)
    middle = reference[above : height - above, beside : width - beside]
    likeness = cv2.matchTemplate(edges, middle, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(likeness)
    return float(np.hypot(x - beside, y - above)) / width if best >= UNLIKE else 1.0
