from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import pose
from edge.pose import PoseModel
from vigil.errors import Stop

if TYPE_CHECKING:
    from pathlib import Path


def answer(*people: tuple[float, float]) -> np.ndarray:
    """The model's answer: people by score and by the confidence of all their joints."""
    output = np.zeros((6, 56), np.float32)
    for row, (score, sure) in enumerate(people):
        output[row, :51] = np.tile((0.25, 0.5, sure), 17)
        output[row, 55] = score
    return output


def test_joints_come_in_frame_heights_with_x_first() -> None:
    (points,) = pose.people_of(answer((0.5, 0.9)), across=4 / 3, down=1.0)
    assert points[0].tolist() == pytest.approx([0.5 * 4 / 3, 0.25, 0.9])


def test_the_surest_person_comes_first_and_the_unsure_not_at_all() -> None:
    found = pose.people_of(answer((0.2, 0.4), (0.6, 0.8), (0.1, 0.9)), 1.0, 1.0)
    assert [float(points[0, 2]) for points in found] == pytest.approx([0.8, 0.4])


def test_a_person_with_hardly_a_joint_in_sight_is_none() -> None:
    assert pose.people_of(answer((0.6, 0.1)), 1.0, 1.0) == []


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080), (480, 640), (352, 288), (1, 1)])
def test_any_frame_fits_the_model_without_being_stretched(width: int, height: int) -> None:
    fit = pose._fit(width, height)
    assert fit.padded_width % 32 == fit.padded_height % 32 == 0
    assert max(fit.padded_width, fit.padded_height) == 256
    assert fit.width / fit.height == pytest.approx(width / height, rel=0.01)
    filled = pose._input(np.zeros((height, width, 3), np.uint8), fit)
    assert filled.shape == (fit.padded_height, fit.padded_width, 3)


def test_red_stays_red_on_the_way_to_the_model() -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[..., 2] = 200
    assert pose._input(frame, pose._fit(640, 480))[0, 0].tolist() == [200, 0, 0]


def test_another_file_than_the_pose_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    other = tmp_path / "movenet.tflite"
    other.write_bytes(b"another model")
    for path in (other, tmp_path / "missing"):
        with pytest.raises(Stop, match="fetch-pose"):
            PoseModel(path)
