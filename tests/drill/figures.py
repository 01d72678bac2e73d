"""What the drill measures, and what of it was asked for; pure.

`course` fills it in; `__main__` prints it as the last line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

DECLARED_P95_S: Final = 30.0
DECLARED_MAX_S: Final = 60.0
HIGH_MIN: Final = 15.0
ALL_MIN: Final = 240.0
"""Goals of issue 8."""


@dataclass
class Figures:
    """What is measured.

    Attributes:
        faults: Each fault's times in seconds; `error` instead where it could not be played.
        missed: Residents who were unprotected and not listed, or listed and not seen.
        false_fallbacks: Estates that went into fallback while nothing was broken.
        unreconciled: Late alerts without a person's decision when the fallback was closed.
        shortfall_said: What the watchdog's page says of too few helpers.
    """

    faults: list[dict[str, Any]] = field(default_factory=list)
    missed: int = 0
    false_fallbacks: int = 0
    unreconciled: int = 0
    high_max: float = 0.0
    all_max: float = 0.0
    shortfall_said: str = ""


def percentile(values: list[float], share: float) -> float | None:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else None


def report(figures: Figures, seed: int) -> dict[str, Any]:
    """Return the figures of issue 8."""
    declared = [fault["declared_s"] for fault in figures.faults if "declared_s" in fault]
    return {
        "faults": figures.faults,
        "declared_p95_s": percentile(declared, 0.95),
        "declared_max_s": max(declared, default=None),
        "residents_missed": figures.missed,
        "false_fallbacks": figures.false_fallbacks,
        "high_risk_contacted_max_min": figures.high_max,
        "all_contacted_max_min": figures.all_max,
        "unreconciled": figures.unreconciled,
        "shortfall_said": figures.shortfall_said,
        "people": "simulated",
        "seed": seed,
    }


def unmet(found: dict[str, Any]) -> list[str]:
    """Return what was asked for and not reached, a few words each."""
    broken = [f"{fault['fault']}: {fault['error']}" for fault in found["faults"] if "error" in fault]
    late = [
        f"{name} is {found[name]}, at most {goal:g}"
        for name, goal in (
            ("declared_p95_s", DECLARED_P95_S),
            ("declared_max_s", DECLARED_MAX_S),
            ("high_risk_contacted_max_min", HIGH_MIN),
            ("all_contacted_max_min", ALL_MIN),
            ("residents_missed", 0),
            ("false_fallbacks", 0),
            ("unreconciled", 0),
        )
        if found[name] is None or found[name] > goal
    ]
    silent = [] if found["shortfall_said"] else ["the shortfall was not said"]
    return broken + late + silent
