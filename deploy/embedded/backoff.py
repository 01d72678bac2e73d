"""How long to wait before something that died is started again; pure, used by `supervisor`."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""Whatever ran this long was well: its next death counts as the first."""


def failures_after(failures: int, ran_s: float) -> int:
    """Count deaths in a row.

    Args:
        failures: How many there were before this one.
        ran_s: How long it ran until it died.
    """
    return 1 if ran_s >= HEALTHY_S else failures + 1


def delay_s(failures: int, chance: float) -> float:
    """Wait twice as long after each further death, up to a limit.

    Args:
        failures: Deaths in a row, from 1.
        chance: Uniform in [0, 1): takes off up to half, so that many do not come back at once.
    """
    doublings = min(failures - 1, 16)
    return min(FIRST_S * 2.0**doublings, LONGEST_S) * (1 - chance / 2)
