"""Say in one sentence, and show in one picture of stick figures, what a camera saw.

Place in the flow: `processors.posefalls.model` adds the sentence to its judgement; the
alert's page draws the strip from the event's key points.  There is no pixel to show, and
none is needed.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from processors.posefalls.features import SURE, Joints, Measures, joints_of

if TYPE_CHECKING:
    from vigil.events import PoseSuspected

BONES: Final = (
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""Pairs of joints in COCO's order: shoulders, arms, trunk, legs."""
HEAD: Final = slice(0, 5)
FIGURES: Final = 8
PANEL: Final = 100
"""Width and height of one figure's panel in the picture's units."""
LYING: Final = 0.4
"""`Measures.trunk_upright` below which the trunk is called lying."""
BODY_M: Final = 1.65
"""A body's length, to put a speed into words; the picture has no scale of its own."""


def explain(measured: Measures) -> dict[str, str]:
    """Return one sentence on what was measured, in English (`en`) and Chinese (`zh`)."""
    if measured.body == 0.0:
        return {"en": "Camera: a person sank out of sight", "zh": "摄像头：人员下沉后无法辨认"}
    speed = measured.speed * BODY_M
    down = round(100 * max(measured.shoulders_sunk, 0.0))
    lying = measured.trunk_upright < LYING
    end = ("lying", "身体呈卧姿") if lying else ("low, trunk not flat", "身体处于低位")
    return {
        "en": f"Camera: shoulders sank by {down}% of body length at up to {speed:.1f} m/s, then {end[0]}",
        "zh": f"摄像头：肩部下降约身长的{down}%，最快{speed:.1f}米/秒，随后{end[1]}",
    }


def strip(event: PoseSuspected) -> str:
    """Return the sequence as an SVG of stick figures from left to right, the last one set off.

    Figures keep their place and size in the picture's crop, so that a drop is seen as one; a
    frame in which the person was not seen is left empty.
    """
    joints = joints_of(event)
    shown = np.linspace(0, len(joints) - 1, min(FIGURES, len(joints))).round().astype(int)
    placed = _placed(joints)
    panels = "".join(
        _panel(placed[frame], column, last=frame == shown[-1]) for column, frame in enumerate(shown)
    )
    seconds = (len(joints) - 1) / event.rate_hz
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PANEL * len(shown)} {PANEL}" role="img"'
        f' aria-label="{seconds:.1f} s" fill="none" stroke="currentColor" stroke-width="3"'
        f' stroke-linecap="round">{panels}</svg>'
    )


def _placed(joints: Joints) -> Joints:
    """Return the joints moved and scaled, so that all that was seen fits a panel."""
    sure = joints[joints[..., 2] >= SURE][:, :2]
    if not len(sure):
        return joints
    low, high = sure.min(axis=0), sure.max(axis=0)
    scale = 0.84 * PANEL / max(float((high - low).max()), 1e-6)
    moved = (joints[..., :2] - (low + high) / 2) * scale + PANEL / 2
    return np.concatenate((moved, joints[..., 2:]), axis=-1)


def _panel(points: Joints, column: int, *, last: bool) -> str:
    """Draw one figure in its column."""
    sure = points[:, 2] >= SURE
    bones = [_bone(points[a], points[b]) for a, b in BONES if sure[a] and sure[b]]
    weight = ' stroke-width="5"' if last else ' opacity="0.6"'
    return f'<g transform="translate({PANEL * column} 0)"{weight}>{_head(points[HEAD])}{"".join(bones)}</g>'


def _bone(one: Joints, other: Joints) -> str:
    """Draw a line between two joints."""
    return f'<path d="M{one[0]:.0f} {one[1]:.0f}L{other[0]:.0f} {other[1]:.0f}"/>'


def _head(face: Joints) -> str:
    """Draw a circle where the face is, if any of it is sure."""
    sure = face[face[:, 2] >= SURE]
    if not len(sure):
        return ""
    x, y = sure[:, :2].mean(axis=0)
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="6"/>'
