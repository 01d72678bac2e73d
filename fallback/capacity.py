"""Whether there are enough people: residents times minutes, divided by staff.  Pure.

Used by `page`, by the pack and by the drills; a shortfall is said aloud, with how many people
mutual aid has to send.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL: Final = timedelta(minutes=1)
DOOR: Final = timedelta(minutes=3)
"""A telephone call, and a door with the way to it (issue 8)."""
ANSWER: Final = 0.4
"""Share of residents who answer the telephone (issue 8)."""
HIGH_TARGET: Final = timedelta(minutes=15)
ALL_TARGET: Final = timedelta(hours=4)
"""By when high-risk residents, and all, have been contacted (DESIGN.md)."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a target asks for.

    Attributes:
        residents: To be contacted.
        target: By when.
        takes: Time that the present staff need; None where there is nobody.
        staff_needed: People who do it in the target's time.
        shortfall: How many of them are missing.
    """

    residents: int
    target: timedelta
    takes: timedelta | None
    staff_needed: int
    shortfall: int


def takes(residents: int, staff: int) -> timedelta:
    """Return how long the staff need: a call each, then a door where nobody answers.

    Nobody can see half a resident, so calls and doors are counted in whole rounds.
    """
    doors = math.ceil(residents * (1 - ANSWER))
    return math.ceil(residents / staff) * CALL + math.ceil(doors / staff) * DOOR


def need(residents: int, staff: int, target: timedelta, *, first: int = 0) -> Need:
    """Return what it takes to contact residents.

    Args:
        residents: To be contacted.
        staff: People called in.
        target: By when.
        first: Residents whom the same staff see before.
    """

    def whole(people: int) -> timedelta:
        return takes(first, people) + takes(residents, people)

    if not residents:
        return Need(0, target, timedelta(0), 0, 0)
    # More people than residents do not make it faster.
    crowd = range(1, residents + first + 1)
    staff_needed = next((people for people in crowd if whole(people) <= target), crowd[-1])
    return Need(
        residents, target, whole(staff) if staff else None, staff_needed, max(0, staff_needed - staff)
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """Both targets, and the sentence to be said."""

    high: Need
    everyone: Need
    zh: str
    en: str

    @property
    def shortfall(self) -> int:
        """How many people are missing for the harder of the two targets."""
        return max(self.high.shortfall, self.everyone.shortfall)


def plan(risks: Sequence[int], staff: int) -> Plan:
    """Return whether the staff suffice for these residents.

    Args:
        risks: Risk of each resident, 3 the highest.
        staff: People called in.
    """
    high_count = sum(risk >= 3 for risk in risks)
    high = need(high_count, staff, HIGH_TARGET)
    everyone = need(len(risks) - high_count, staff, ALL_TARGET, first=high_count)
    short = max(high.shortfall, everyone.shortfall)
    return Plan(high, everyone, *_sentence(high, everyone, staff, short))


def _sentence(high: Need, everyone: Need, staff: int, short: int) -> tuple[str, str]:
    minutes = "-" if high.takes is None else f"{math.ceil(high.takes / timedelta(minutes=1))}"
    total = "-" if everyone.takes is None else f"{everyone.takes / timedelta(hours=1):.1f}"
    if short:
        zh = (
            f"人手不足：现有{staff}人，还缺{short}人，请向街道申请支援。"
            f"高风险{high.residents}人需{minutes}分钟，全部需{total}小时。"
        )
        en = (
            f"Short by {short} people: {staff} are here. Ask the street for mutual aid. "
            f"{high.residents} at high risk take {minutes} min, everybody {total} h."
        )
        return zh, en
    return (
        f"人手足够：{staff}人，高风险{high.residents}人约{minutes}分钟，全部约{total}小时。",
        f"Enough people: {staff}. {high.residents} at high risk take {minutes} min, everybody {total} h.",
    )
