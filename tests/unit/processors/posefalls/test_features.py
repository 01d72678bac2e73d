from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.posefalls import features
from processors.posefalls.features import Measures
from tests.unit.processors.posefalls import figure
from vigil.events import PoseSuspected


def event(
    course: figure.Course, camera: figure.Camera | None = None, facing: float = 90, begin_s: float = 0.8
) -> PoseSuspected:
    """Three seconds of a course, from `begin_s` on, as the edge would send them."""
    seen = camera or figure.Camera()
    film = [points for time, points in figure.film(course, seen, facing) if time >= begin_s][:24]
    joints = np.rint(np.stack(film) * (1000 / seen.aspect, 1000, 100)).astype(int)
    return PoseSuspected(
        keypoints=joints.reshape(len(joints), -1).tolist(),
        rate_hz=8.0,
        aspect=seen.aspect,
        track=1,
        episode="e",
        score=0.5,
        model="edge.trunk_drop",
        model_version="1",
    )


def test_a_fall_to_the_back_measures_as_a_person_would_say() -> None:
    measured = features.measure(event(figure.FALLS["backwards"]))
    assert measured.shoulders_sunk == pytest.approx(0.7, abs=0.15)
    assert measured.hips_sunk == pytest.approx(0.42, abs=0.08)
    assert measured.speed > 0.8
    assert abs(measured.trunk_upright) < 0.3
    assert measured.seen_after == 1


def test_standing_measures_nothing() -> None:
    measured = features.measure(event(figure.DAILY_LIFE["standing"]))
    assert (measured.shoulders_sunk, measured.hips_sunk, measured.speed) == pytest.approx((0, 0, 0), abs=0.01)
    assert measured.trunk_upright == pytest.approx(0.9, abs=0.1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(3.0, 8.0), st.floats(1.2, 2.0))
def test_near_and_far_and_tall_and_small_measure_alike(away_m: float, size: float) -> None:
    near = features.measure(event(figure.FALLS["forwards"], figure.Camera(height_m=1.0, away_m=3.0)))
    far = event(figure.FALLS["forwards"], figure.Camera(height_m=1.0, away_m=away_m, focal=0.9 * size))
    assert features.measure(far).shoulders_sunk == pytest.approx(near.shoulders_sunk, abs=0.1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(list(figure.FALLS)), st.integers(0, 359))
def test_left_and_right_measure_alike(name: str, facing: int) -> None:
    seen = event(figure.FALLS[name], facing=facing)
    mirrored = np.array(seen.keypoints).reshape(-1, 17, 3)
    mirrored[..., 0] = 1000 - mirrored[..., 0]
    other = msgspec.structs.replace(seen, keypoints=mirrored.reshape(-1, 51).tolist())
    one, two = features.measure(seen), features.measure(other)
    assert msgspec.structs.astuple(one) == pytest.approx(msgspec.structs.astuple(two))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.integers(-1000, 2000), min_size=51, max_size=51), min_size=1, max_size=30),
    st.floats(1, 30),
)
def test_whatever_key_points_come_the_measures_are_finite(points: list[list[int]], rate_hz: float) -> None:
    seen = msgspec.structs.replace(event(figure.FALLS["forwards"]), keypoints=points, rate_hz=rate_hz)
    assert np.isfinite(msgspec.structs.astuple(features.measure(seen))).all()


def test_nobody_in_sight_measures_nothing() -> None:
    nobody = msgspec.structs.replace(event(figure.FALLS["forwards"]), keypoints=[[0] * 51] * 24)
    assert features.measure(nobody) == Measures()
