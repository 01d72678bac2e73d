from __future__ import annotations

import itertools
from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fallback.rounds import SEEN, Method, Task
from tests.drill import people
from tests.unit.fallback.conftest import T0
from vigil.roster import Resident


def tasks(high: int, others: int) -> list[Task]:
    residents = [
        Resident(
            id=f"r{n}", estate="e1", name="", risk=3 if n < high else 1, building="1", floor=1, home=f"h{n}"
        )
        for n in range(high + others)
    ]
    return [Task(each, T0, T0 + timedelta(hours=4), 0, None) for each in residents]


@given(st.integers(0, 20), st.integers(0, 40), st.integers(1, 8), st.integers(0, 2**32))
def test_everybody_is_seen_once_and_nobody_after_they_were(
    high: int, others: int, staff: int, seed: int
) -> None:
    done = people.see_everybody(tasks(high, others), staff, T0, Random(seed))
    seen = [check.resident for check in done.checks if check.result in SEEN]
    assert sorted(seen) == sorted(f"r{n}" for n in range(high + others))


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_no_helper_is_in_two_places(staff: int, seed: int) -> None:
    done = people.see_everybody(tasks(9, 30), staff, T0, Random(seed))
    for name in {check.by for check in done.checks}:
        mine = sorted((check for check in done.checks if check.by == name), key=lambda check: check.at)
        for before, after in itertools.pairwise(mine):
            takes = timedelta(minutes=1 if after.method is Method.PHONE else 3)
            assert after.at - before.at >= takes


def test_the_issues_ninety_are_seen_within_fifteen_minutes_by_twenty_whoever_answers() -> None:
    rounds = [people.see_everybody(tasks(90, 0), 20, T0, Random(seed)) for seed in range(200)]
    assert max(done.high_max_min for done in rounds) <= 15
