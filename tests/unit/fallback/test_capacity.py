from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fallback import capacity

FLAGGED = [3] * 90 + [1] * 510
"""600 residents, 15% at high risk (issue 8)."""


def test_twenty_people_see_ninety_at_high_risk_in_a_quarter_of_an_hour() -> None:
    plan = capacity.plan(FLAGGED, 20)
    assert plan.high.takes == timedelta(minutes=14)
    assert plan.shortfall == 0
    assert "Enough people" in plan.en


def test_six_people_are_too_few_and_that_is_said_with_how_many_are_missing() -> None:
    plan = capacity.plan(FLAGGED, 6)
    assert plan.high.takes == timedelta(minutes=42)
    assert plan.shortfall == 12
    assert plan.en.startswith("Short by 12 people: 6 are here. Ask the street for mutual aid.")
    assert "还缺12人" in plan.zh


def test_nobody_is_needed_for_nobody() -> None:
    assert capacity.plan([], 0).shortfall == 0


def test_without_anybody_everybody_is_missing() -> None:
    plan = capacity.plan([3], 0)
    assert (plan.high.takes, plan.shortfall) == (None, 1)


@given(st.integers(1, 400), st.integers(1, 60))
def test_whoever_adds_people_is_never_slower(residents: int, staff: int) -> None:
    assert capacity.takes(residents, staff + 1) <= capacity.takes(residents, staff)


@given(st.integers(1, 300))
def test_the_people_asked_for_are_enough(residents: int) -> None:
    need = capacity.need(residents, 0, capacity.ALL_TARGET)
    assert capacity.takes(residents, need.staff_needed) <= capacity.ALL_TARGET
