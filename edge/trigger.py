"""Trigger on impacts, and judge one by a simple rule while the platform is away.

Place in the flow: `edge.sensors` feeds samples in; the windows that come out (cut by
`vigil.impact`, as in training) are put into the spool as suspected falls and judged by
`processors.falls`.  When no receipt comes back, the edge sounds its local alarm by the
rule in this module, which needs no model: a hard impact, then another posture, then rest.

The rule's thresholds are round values, the best of eight combinations tried on SisFall;
what they reach there and elsewhere is in docs/models/wearable.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from vigil.impact import HALF, RATE_HZ, State, Stillness, Window, finish, step

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImpactAndPosture", "State", "Stillness", "Window", "finish", "impact_and_posture", "step"]

IMPACT_G: Final = 2.0
"""Peak of a suspected fall, in g."""
TURN_DEG: Final = 60.0
"""Angle between the posture before and after, in degrees: from upright to lying."""
REST_SD_G: Final = 0.3
"""Movement in the last second of the window up to which the wearer rests, in g."""


@dataclass(frozen=True, slots=True)
class ImpactAndPosture:
    """What the rule measured in a window.

    Attributes:
        peak_g: Largest magnitude, in g.
        turn_deg: Angle between the mean direction of the first second and of the last.
        rest_sd_g: Standard deviation of the last second's acceleration, over all axes, in g.
    """

    peak_g: float
    turn_deg: float
    rest_sd_g: float

    @property
    def is_fall(self) -> bool:
        """Tell whether a hard impact ended in another posture and in rest."""
        return self.peak_g >= IMPACT_G and self.turn_deg >= TURN_DEG and self.rest_sd_g <= REST_SD_G


def impact_and_posture(accel_g: NDArray[np.float32]) -> ImpactAndPosture:
    """Measure a window for the simple rule.

    Args:
        accel_g: A window of `step`: shape (200, 3), in g, the peak at sample 100.

    Returns:
        The three measures; their `is_fall` is the rule's verdict.
    """
    before, after = accel_g[:RATE_HZ], accel_g[-RATE_HZ:]
    peak = float(np.linalg.norm(accel_g[HALF]))
    rest = float(np.sqrt(after.var(axis=0).sum()))
    return ImpactAndPosture(peak, _degrees(before.mean(axis=0), after.mean(axis=0)), rest)


def _degrees(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the angle between two vectors; 0 where one has no length."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if lengths == 0:
        return 0.0
    return float(np.degrees(np.arccos(np.clip(float(one @ other) / lengths, -1, 1))))
