"""Turn a model's raw scores into probabilities, and say how far they can be trusted.

Place in the flow: `processors.falls.train` fits a calibration on out-of-fold scores and
writes it into the manifest; `processors.falls.model` applies it to every score, so that
0.95 means what the fusion takes it for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CERTAIN: Final = 0.999
"""No score says more than this, nor less than 1 - this: in log-odds, certainty would end all fusion."""
_TINY: Final = 1e-7


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A monotone map from raw scores to probabilities.

    Attributes:
        method: `platt` (a line in log-odds) or `isotonic` (a staircase, joined by lines).
        slope: Platt's slope in log-odds; unused by isotonic.
        intercept: Platt's intercept in log-odds; unused by isotonic.
        raw: Isotonic: raw scores of the knots, rising; unused by Platt.
        probability: Isotonic: probabilities at the knots.
    """

    method: str
    slope: float = 1.0
    intercept: float = 0.0
    raw: tuple[float, ...] = ()
    probability: tuple[float, ...] = ()

    def apply(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities of raw scores, each within [1 - CERTAIN, CERTAIN]."""
        if self.method == "isotonic":
            likely = np.interp(np.asarray(scores, np.float64), self.raw, self.probability)
        else:
            likely = 1 / (1 + np.exp(-(self.slope * log_odds(scores) + self.intercept)))
        return np.clip(likely, 1 - CERTAIN, CERTAIN)


class ReliabilityBin(msgspec.Struct, frozen=True):
    """How often what was called likely in [low, high) came true.

    Attributes:
        low: Lower bound of the probabilities in the bin.
        high: Upper bound.
        n: Windows in the bin.
        mean: Their mean probability.
        observed: Share of them that were falls.
    """

    low: float
    high: float
    n: int
    mean: float
    observed: float


def log_odds(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)), finite also for 0 and 1."""
    inside = np.clip(np.asarray(scores, np.float64), _TINY, 1 - _TINY)
    odds: NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def brier(likely: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the mean squared difference between probabilities and what came true."""
    return float(np.mean((likely - truth) ** 2))


def log_loss(likely: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the mean surprise of probabilities, in nats."""
    inside = np.clip(likely, _TINY, 1 - _TINY)
    return float(-np.mean(np.where(truth, np.log(inside), np.log(1 - inside))))


def reliability(likely: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Compare probabilities with what came true, bin by bin; an empty bin is left out."""
    edges = (0.0, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
    place = np.clip(np.searchsorted(edges, likely, side="right") - 1, 0, len(edges) - 2)
    return tuple(
        ReliabilityBin(
            edges[at],
            edges[at + 1],
            int(inside.sum()),
            round(float(likely[inside].mean()), 4),
            round(float(truth[inside].mean()), 4),
        )
        for at in range(len(edges) - 1)
        if (inside := place == at).any()
    )
