"""How long something dead stays dead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.backoff import FIRST_S, HEALTHY_S, LONGEST_S, delay_s, failures_after

CHANCE = st.floats(0, 1, exclude_max=True)


def test_the_first_death_is_followed_by_a_short_wait() -> None:
    assert delay_s(1, chance=0.0) == FIRST_S


def test_each_further_death_doubles_the_wait_until_the_limit() -> None:
    waits = [delay_s(failures, chance=0.0) for failures in range(1, 9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(failures=st.integers(1, 10**9), chance=CHANCE)
def test_the_wait_is_never_shorter_than_half_and_never_beyond_the_limit(failures: int, chance: float) -> None:
    whole = delay_s(failures, chance=0.0)
    assert whole / 2 <= delay_s(failures, chance) <= whole <= LONGEST_S


@given(st.integers(0, 10**6), st.floats(0, 1e9))
def test_a_healthy_minute_forgives_what_was_before(failures: int, ran_s: float) -> None:
    expected = 1 if ran_s >= HEALTHY_S else failures + 1
    assert failures_after(failures, ran_s) == expected
