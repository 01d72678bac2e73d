from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.disclosure import BLOCKS, disclosed, outline
from edge.vision import length
from tests.unit.processors.posefalls import figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.picture import Frame
    from edge.tracks import Points

pytestmark = pytest.mark.trust

SHAPE = (480, 640)
_, LYING = figure.film((*figure.FALLS["backwards"], (30.0, figure.ON_THE_BACK)), figure.Camera(), 20)[-1]
CHEQUERS = (np.indices(SHAPE).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
"""The finest pattern there is, and the same grey everywhere once it is averaged."""


def inside() -> NDArray[np.bool_]:
    return outline(SHAPE, LYING, length(LYING)) > 0


def seen(frame: Frame, joints: Points = LYING) -> Frame:
    jpeg = disclosed(frame, joints)
    assert jpeg is not None
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def far_from_the_person() -> NDArray[np.bool_]:
    """What JPEG's blocks of 16 pixels at the outline cannot have touched."""
    return np.asarray(cv2.dilate(inside().astype(np.uint8), np.ones((49, 49), np.uint8)) == 0)


def test_the_person_is_seen_and_is_a_small_part_of_the_picture() -> None:
    assert 0.005 < inside().mean() < 0.3
    assert seen(CHEQUERS)[inside()].std() > 60


def test_of_the_rest_no_detail_is_left() -> None:
    assert seen(CHEQUERS)[far_from_the_person()].std() < 2


def test_what_a_block_held_cannot_be_told_from_what_is_shown() -> None:
    one = np.full((*SHAPE, 3), 128, np.uint8)
    assert np.abs(seen(one).astype(int) - seen(CHEQUERS))[far_from_the_person()].max() <= 3
    assert SHAPE[0] // BLOCKS == 30


def test_where_nobody_can_be_told_from_the_rest_there_is_no_picture() -> None:
    unsure = LYING.copy()
    unsure[:, 2] = 0
    assert disclosed(CHEQUERS, unsure) is None


def test_a_large_picture_is_made_smaller_and_the_frame_is_left_as_it_is() -> None:
    large = CHEQUERS.repeat(2, axis=0).repeat(2, axis=1)
    before = large.copy()
    assert seen(large).shape == (480, 640, 3)
    assert (large == before).all()
