from __future__ import annotations

import numpy as np

from processors.falls.explain import explain, felt
from tests.unit.processors.falls import community


def window(*, turned: bool = True, moving: bool = False, drop: bool = True) -> np.ndarray:
    after = community.LYING if turned else community.UPRIGHT
    samples = np.concatenate((np.tile(community.UPRIGHT, (100, 1)), np.tile(after, (100, 1))))
    if drop:
        samples[85:100] *= 0.3
    samples[100] *= 4.0 / np.linalg.norm(samples[100])
    if moving:
        samples[150:] += np.random.default_rng(0).normal(0, 0.3, (50, 3))
    return samples.astype(np.float32)


def test_a_fall_is_told_in_units_a_person_can_picture() -> None:
    (said,) = explain(window()[None])
    assert (
        said["en"]
        == "Wearable: a blow of 4.0 g after a drop of 0.3 s, posture changed by 90°, then lay still"
    )
    assert said["zh"] == "穿戴设备：下坠0.3秒后受到4.0g冲击，姿态改变90°，随后静止不动"


def test_a_knock_without_drop_turn_or_rest_is_told_as_such() -> None:
    (said,) = explain(window(turned=False, moving=True, drop=False)[None])
    assert said["en"] == "Wearable: a blow of 4.0 g, posture hardly changed, then still moving"
    assert said["zh"] == "穿戴设备：受到4.0g冲击，姿态基本未变，随后仍有活动"


def test_a_dead_sensor_is_measured_without_failing() -> None:
    (shown,) = felt(np.zeros((1, 200, 3), np.float32))
    assert shown.turn_deg == 0.0


def test_many_windows_are_told_as_each_would_be_alone() -> None:
    windows = np.stack([window(), window(turned=False, moving=True, drop=False), window(moving=True)])
    assert explain(windows) == [explain(one[None])[0] for one in windows]
    assert explain(windows[:0]) == []
