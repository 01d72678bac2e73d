from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import drift
from processors.drift import FEWEST, MEASURES, MOVED, Watch, index, of_device, of_fleet, reference

NAME = ("falls-waist", "1")
TODAY = date(2026, 3, 1)
COUNTS = st.lists(st.integers(0, 500), min_size=10, max_size=10).filter(lambda some: sum(some) >= FEWEST)


def windows(n: int, seed: int, gain: float = 1.0) -> np.ndarray:
    """Make windows of somebody who stands, and is struck by blows of 2 to 6 g."""
    rng = np.random.default_rng(seed)
    made = rng.normal((0, 0, 1), 0.05, (n, 200, 3))
    made[:, 100] *= rng.uniform(2, 6, (n, 1))
    return (made * gain).astype(np.float32)


def scores(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).beta(1, 20, n)


KNOWN = reference("1", drift.measured(windows(2000, 0), scores(2000, 0)))


def counts(n: int, seed: int, gain: float = 1.0) -> np.ndarray:
    return KNOWN.binned(drift.measured(windows(n, seed, gain), scores(n, seed)))


def test_a_reference_holds_a_tenth_in_each_bin_and_all_of_it_in_the_bins_of_each_measure() -> None:
    for shares in KNOWN.shares:
        assert sum(shares) == pytest.approx(1)
        assert max(shares) < 0.2 or len(shares) < 10


@pytest.mark.parametrize("n", [150, 1000])
def test_what_is_like_the_reference_has_not_moved_however_few_windows_there_are(n: int) -> None:
    found = of_fleet(KNOWN, counts(n, 7))
    assert set(found) == set(MEASURES)
    assert max(found.values()) < 0.1


def test_a_sensor_with_a_wrong_gain_has_moved_and_the_level_says_so() -> None:
    found = of_fleet(KNOWN, counts(300, 7, gain=1.1))
    assert found["level_g"] > MOVED
    assert found["score"] < 0.1


def test_a_device_is_compared_with_its_fleet_and_a_fleet_that_moves_as_one_is_no_devices_fault() -> None:
    one, others = counts(200, 1, gain=1.1), counts(2000, 2, gain=1.1)
    moved = of_device(KNOWN, "d1", one, one + others)
    assert moved.from_reference is not None
    assert moved.from_reference > MOVED
    assert moved.from_fleet is not None
    assert moved.from_fleet < 0.1
    odd = of_device(KNOWN, "d1", one, one + counts(2000, 2))
    assert odd.from_fleet is not None
    assert odd.from_fleet > MOVED
    assert odd.measure == "level_g"


def test_of_few_windows_nothing_is_said() -> None:
    few = counts(FEWEST - 1, 1)
    assert of_fleet(KNOWN, few) == {}
    assert of_device(KNOWN, "d1", few, few + counts(2000, 2)).from_fleet is None
    alone = counts(300, 1)
    moved = of_device(KNOWN, "d1", alone, alone)
    assert (moved.from_fleet, moved.windows) == (None, 300)
    assert moved.from_reference is not None


@given(COUNTS, COUNTS)
def test_an_index_is_never_negative_and_nothing_has_moved_from_itself(
    one: list[int], other: list[int]
) -> None:
    a, b = np.array(one), np.array(other)
    assert index(a, b, b.sum()) >= 0
    assert index(a, a, a.sum()) == 0


def test_windows_are_counted_by_device_and_day_and_given_away_once() -> None:
    watch = Watch({NAME: KNOWN})
    watch.note(NAME, windows(3, 1), scores(3, 1), [("a", TODAY), ("b", TODAY), ("a", TODAY)])
    watch.note(NAME, windows(1, 2), scores(1, 2), [("a", TODAY)])
    taken = watch.take()
    assert {key[2]: int(KNOWN.split(some)[0].sum()) for key, some in taken.items()} == {"a": 3, "b": 1}
    assert watch.take() == {}
    watch.give_back(taken)
    watch.give_back(taken)
    assert {key[2]: int(KNOWN.split(some)[0].sum()) for key, some in watch.take().items()} == {"a": 6, "b": 2}


def test_a_model_without_a_reference_is_not_watched() -> None:
    watch = Watch({})
    watch.note(NAME, windows(1, 1), scores(1, 1), [("a", TODAY)])
    assert watch.take() == {}


def test_no_windows_are_no_counts() -> None:
    watch = Watch({NAME: KNOWN})
    watch.note(NAME, windows(0, 1), scores(0, 1), [])
    assert watch.take() == {}
