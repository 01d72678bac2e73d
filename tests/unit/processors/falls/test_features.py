from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.falls import features
from processors.falls.recordings import windows_of
from tests.unit.processors.falls import community


def some_windows(count: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([windows_of(community.fall(rng)) for _ in range(count)])


def column(measured: np.ndarray, name: str) -> np.ndarray:
    return measured[:, features.names().index(name)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_turning_the_device_in_its_holder_changes_nothing(quaternion: list[float]) -> None:
    a, b, c, d = np.array(quaternion) / np.linalg.norm(quaternion)
    turn = np.array((
        (1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    ))  # fmt: skip
    windows = some_windows()
    measured, turned = features.measure(windows), features.measure(windows @ turn.T.astype(np.float32))
    # Places of maxima and counts of crossings may move by one sample where two are alike to the last bit.
    alike = np.isclose(measured, turned, rtol=1e-2, atol=2e-2)
    assert alike.mean() > 0.99


def test_each_window_is_measured_on_its_own() -> None:
    windows = some_windows()
    together = features.measure(windows)
    alone = np.concatenate([features.measure(window[None]) for window in windows])
    assert np.allclose(together, alone, atol=1e-5)


def test_no_window_gives_no_row_but_every_column() -> None:
    assert features.measure(np.empty((0, 200, 3))).shape == (0, len(features.names()))


def test_the_columns_are_single_precision_finite_and_named_once() -> None:
    measured = features.measure(some_windows())
    assert measured.dtype == np.float32
    assert np.isfinite(measured).all()
    assert measured.shape[1] == len(set(features.names()))


@pytest.mark.parametrize("still", [np.zeros((1, 200, 3)), np.full((1, 200, 3), 50.0)])
def test_a_dead_or_stuck_sensor_gives_finite_numbers(still: np.ndarray) -> None:
    assert np.isfinite(features.measure(still)).all()


@pytest.mark.parametrize("shape", [(200, 3), (1, 199, 3), (1, 200, 2)])
def test_windows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        features.measure(np.zeros(shape))


def test_a_value_that_is_not_finite_is_refused() -> None:
    window = np.zeros((1, 200, 3))
    window[0, 5, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        features.measure(window)


def test_a_sensor_of_16_g_measures_like_one_of_4_g() -> None:
    windows = some_windows()
    larger = windows.copy()
    larger[:, 100] *= 10
    size = np.linalg.norm(windows[:, 100], axis=1)
    windows[:, 100] *= (features.RANGE_G / size)[:, None]
    assert np.allclose(features.measure(windows), features.measure(larger), atol=1e-3)


def test_a_fall_to_the_ground_turns_drops_and_ends_still() -> None:
    measured = features.measure(some_windows())
    assert (column(measured, "turn_deg") > 80).all()
    assert (column(measured, "drop_min_g") < 0.5).all()
    assert (column(measured, "still_after_g") < 0.1).all()


def test_steps_repeat_at_their_pace() -> None:
    windows = windows_of(community.walk(np.random.default_rng(0)))
    measured = features.measure(windows[1:-1])
    assert (column(measured, "echo") > 0.4).all()
    assert np.allclose(column(measured, "echo_s"), 0.5, atol=0.04) | np.allclose(
        column(measured, "echo_s") % 0.5, 0, atol=0.04
    )


def test_the_schema_hash_is_that_of_the_packaged_models() -> None:
    # A changed formula needs FORMULAS raised and all models trained anew.
    from processors.falls.model import FallModel

    assert FallModel.load("waist").manifest.feature_schema_sha256 == features.schema_hash()
