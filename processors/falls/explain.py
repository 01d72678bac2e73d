"""Say in a sentence each what wearables felt, in units a person can picture.

Place in the flow: `processors.scoring` adds the sentence to a score from
`processors.falls.model`; the duty officer reads it beside the trace.  Pure.

The sentence tells what was measured, not how the model weighed it: an officer can hold
"4.1 g, 78 degrees, then still" against what the resident says; a list of weights cannot
be held against anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from processors.falls.features import AFTER, BEFORE, PEAK, RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIGHT_G: Final = 0.6
"""Below this, in g, the body is counted as dropping: gravity is felt by less than two thirds."""
TOLD_S: Final = 0.08
"""A shorter drop is left out of the sentence: four samples, too few to be sure of."""
TURNED_DEG: Final = 45.0
"""From here on a turn is called another posture."""
STILL_G: Final = 0.1
"""Movement in the last second up to which the wearer is said to lie still, in g."""


@dataclass(frozen=True, slots=True)
class Felt:
    """What a window shows, in physical units.

    Attributes:
        peak_g: The blow, in g.
        drop_s: Seconds below `LIGHT_G` in the second before it.
        turn_deg: Angle between the posture of the first and of the last second.
        moving_g: Movement in the last second: standard deviation over all axes, in g.
    """

    peak_g: float
    drop_s: float
    turn_deg: float
    moving_g: float


def felt(windows: NDArray[np.float32]) -> list[Felt]:
    """Measure windows, shape (n, 200, 3), in g, the peak at sample 100."""
    size = np.sqrt(np.einsum("nti,nti->nt", windows, windows))
    before, after = windows[:, BEFORE], windows[:, AFTER]
    columns = (
        size[:, PEAK],
        (size[:, PEAK - RATE_HZ : PEAK] < LIGHT_G).sum(axis=1) / RATE_HZ,
        _degrees(before.mean(axis=1), after.mean(axis=1)),
        np.sqrt(after.var(axis=1).sum(axis=1)),
    )
    return [Felt(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def stayed_upright(accel_mg: Sequence[int]) -> bool:
    """Tell whether the trunk that felt a blow hangs after it as it did before it.

    Args:
        accel_mg: 200 samples of x, y, z in milli-g, flattened, the peak at sample 100.
    """
    window: NDArray[np.float32] = np.array(accel_mg, np.float32).reshape(1, 200, 3) / np.float32(1000)
    (shown,) = felt(window)
    return not _turned(shown)


def explain(windows: NDArray[np.float32]) -> list[dict[str, str]]:
    """Return for each window one sentence on what the wearable felt, in English (`en`) and Chinese (`zh`).

    Args:
        windows: Shape (n, 200, 3), in g at 50 Hz, the peak at sample 100.
    """
    return [{"en": _english(shown), "zh": _chinese(shown)} for shown in felt(windows)]


def _english(shown: Felt) -> str:
    """Tell it in English."""
    drop = f" after a drop of {shown.drop_s:.1f} s" if shown.drop_s >= TOLD_S else ""
    turn = f"posture changed by {shown.turn_deg:.0f}°" if _turned(shown) else "posture hardly changed"
    rest = "then lay still" if shown.moving_g <= STILL_G else "then still moving"
    return f"Wearable: a blow of {shown.peak_g:.1f} g{drop}, {turn}, {rest}"


def _chinese(shown: Felt) -> str:
    """Tell it in Chinese."""
    drop = f"下坠{shown.drop_s:.1f}秒后" if shown.drop_s >= TOLD_S else ""
    turn = f"姿态改变{shown.turn_deg:.0f}°" if _turned(shown) else "姿态基本未变"
    rest = "随后静止不动" if shown.moving_g <= STILL_G else "随后仍有活动"
    return f"穿戴设备：{drop}受到{shown.peak_g:.1f}g冲击，{turn}，{rest}"


def _turned(shown: Felt) -> bool:
    """Tell whether the wearer ended in another posture."""
    return shown.turn_deg >= TURNED_DEG


def _degrees(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the angles between vectors, shape (n, 3); 0 where one has no length."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine = np.einsum("ni,ni->n", one, other) / np.where(lengths == 0, 1, lengths)
    angles: NDArray[np.float32] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return np.where(lengths == 0, np.float32(0), angles)
