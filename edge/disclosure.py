"""What of a camera's frame may be shown: the person under suspicion, and nothing else to be known.

Place in the flow: `edge.evidence` calls it, with a permit, for the frame in which a fall was
suspected; privacy masks are burned in before.  Pure.

The rest of the picture is averaged over blocks of a sixteenth of its height, and only then drawn
smoothly: what a block holds no more cannot be brought back, as a blur's can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from edge import vision
from edge.tracks import SURE

if TYPE_CHECKING:
    from edge.picture import Frame
    from edge.tracks import Points

BLOCKS: Final = 16
"""Of the picture's height: a face 3 m away is one or two blocks."""
LIMB: Final = 0.14
"""Thickness of a limb and of the body's edge, in body lengths: clothes are wider than joints."""
HEAD: Final = 0.12
"""Radius of a head, in body lengths."""
WIDEST: Final = 640
QUALITY: Final = 75
_LIMBS: Final = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)),
    *((5, 6), (11, 12), (5, 11), (6, 12)),
)
"""Pairs of MoveNet's joints."""
_TRUNK: Final = (5, 6, 12, 11)
_FACE: Final = slice(0, 5)


def disclosed(frame: Frame, joints: Points) -> bytes | None:
    """Return a frame as JPEG with everything blurred outside a person's outline.

    Args:
        frame: Masks burned in; only read.
        joints: The person's, shape (17, 3), in frame heights.

    Returns:
        None where the person cannot be told from the rest: then there is nothing to show.
    """
    size = vision.length(joints)
    if size == 0.0:
        return None
    shape = outline(frame.shape[:2], joints, size)
    shown = np.where(shape[..., None] > 0, frame, _blurred(frame))
    height, width = frame.shape[:2]
    if width > WIDEST:
        shown = cv2.resize(shown, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    made, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes() if made else None


def outline(shape: tuple[int, int], joints: Points, size: float) -> Frame:
    """Return a person's outline: 255 inside, 0 outside.

    Args:
        shape: Height and width of the frame.
        joints: The person's, in frame heights; unsure ones do not count.
        size: Length of the body, in frame heights.
    """
    height, width = shape
    inside = np.zeros((height, width), np.uint8)
    sure = joints[:, 2] >= SURE
    at = np.rint(joints[:, :2] * height).astype(int)
    thick = max(round(LIMB * size * height), 1)
    for one, other in _LIMBS:
        if sure[one] and sure[other]:
            cv2.line(inside, at[one].tolist(), at[other].tolist(), 255, thick)
    if sure[list(_TRUNK)].all():
        cv2.fillPoly(inside, [at[list(_TRUNK)].astype(np.int32)], 255)
    if sure[_FACE].any():
        middle = at[_FACE][sure[_FACE]].mean(axis=0)
        cv2.circle(inside, np.rint(middle).astype(int).tolist(), max(round(HEAD * size * height), 1), 255, -1)
    return inside


def _blurred(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    blocks = (max(round(BLOCKS * width / height), 1), BLOCKS)
    coarse = cv2.resize(frame, blocks, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
