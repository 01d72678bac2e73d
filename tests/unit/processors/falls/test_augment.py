from __future__ import annotations

import numpy as np

from processors.falls import augment
from processors.falls.augment import as_other_sensors
from processors.falls.recordings import windows_of
from tests.unit.processors.falls import community


def some_windows(count: int = 60) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([windows_of(community.fall(rng)) for _ in range(count)])


def test_the_same_source_of_chance_gives_the_same_copies() -> None:
    one, other = (as_other_sensors(some_windows(8), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_copies_keep_shape_and_precision() -> None:
    windows = some_windows(8)
    copies = as_other_sensors(windows, np.random.default_rng(0))
    assert copies.shape == windows.shape
    assert copies.dtype == np.float32


def test_the_peak_stays_near_the_middle() -> None:
    copies = as_other_sensors(some_windows(), np.random.default_rng(0))
    places = np.linalg.norm(copies[:, 80:121], axis=2).argmax(axis=1) + 80
    assert (np.abs(places - 100) <= augment.JITTER + 2).all()


def test_some_copies_come_from_sensors_of_a_narrow_range_and_most_do_not() -> None:
    copies = as_other_sensors(some_windows(), np.random.default_rng(0))
    largest = np.abs(copies).max(axis=(1, 2))
    narrow = np.isin(largest, np.array(augment.CUT_G, np.float32)).mean()
    assert 0.05 < narrow < 0.5


def test_a_copy_of_a_device_at_rest_is_at_rest_within_the_sensors_errors() -> None:
    rest = np.tile(community.UPRIGHT, (50, 200, 1))
    copies = as_other_sensors(rest, np.random.default_rng(0))
    size = np.linalg.norm(copies.mean(axis=1), axis=1)
    assert (np.abs(size - 1) < augment.GAIN + 3 * augment.OFFSET_G).all()
    assert (copies.std(axis=1).max(axis=1) < 1.3 * augment.NOISE_G).all()
