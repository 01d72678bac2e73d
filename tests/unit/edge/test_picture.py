from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge import picture
from edge.picture import FROZEN_S, LASTS_S, Frame, Health

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH = 240, 320


def room() -> Frame:
    """A room of furniture with edges and texture, in colour."""
    rng = np.random.default_rng(1)
    frame = np.full((HEIGHT, WIDTH, 3), (120, 140, 150), np.uint8)
    for _ in range(40):
        x, y, w, h = (int(v) for v in rng.integers((0, 0, 10, 10), (WIDTH, HEIGHT, 80, 60)))
        cv2.rectangle(frame, (x, y), (x + w, y + h), [int(c) for c in rng.integers(0, 255, 3)], -1)
    return frame


ROOM = room()


NOISE = np.random.default_rng(2).normal(0, 2, (7, HEIGHT, WIDTH, 3)).astype(np.int8)


def noisy(frame: Frame, second: int) -> Frame:
    """What a sensor makes of a scene: no two looks are the same."""
    return np.asarray(cv2.add(frame, NOISE[second % len(NOISE)], dtype=cv2.CV_8U), np.uint8)


def watched(change: Callable[[Frame], Frame], seconds: int = 60) -> Health:
    """Half a minute of the room, then of what became of it."""
    health = Health()
    for second in range(30 + seconds):
        seen = ROOM if second < 30 else change(ROOM)
        health = picture.step(health, picture.look(noisy(seen, second)), float(second))
    return health


def grey(frame: Frame) -> Frame:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8)


BAD: dict[str, Callable[[Frame], Frame]] = {
    "covered": lambda frame: np.full_like(frame, 90),
    "dark": lambda frame: (frame * 0.02).astype(np.uint8),
    "defocused": lambda frame: cv2.GaussianBlur(frame, (0, 0), 3).astype(np.uint8),
    "turned": lambda frame: np.roll(frame, 100, axis=1),
}
HARMLESS: dict[str, Callable[[Frame], Frame]] = {
    "nothing": lambda frame: frame,
    "half the light": lambda frame: (frame * 0.5).astype(np.uint8),
    "infra-red light": grey,
    "a person in the way": lambda frame: cv2.rectangle(
        frame.copy(), (125, 60), (185, 235), (40, 40, 60), -1
    ).astype(np.uint8),
}


@pytest.mark.parametrize("trouble", list(BAD))
def test_a_bad_picture_is_known_within_a_minute(trouble: str) -> None:
    assert watched(BAD[trouble]).trouble == [trouble]


@pytest.mark.parametrize("what", list(HARMLESS))
def test_what_happens_every_day_is_no_trouble(what: str) -> None:
    assert watched(HARMLESS[what]).trouble == []


@pytest.mark.parametrize("trouble", list(BAD))
def test_a_trouble_does_not_become_normal_by_lasting(trouble: str) -> None:
    assert watched(BAD[trouble], seconds=120).trouble == [trouble]


def test_a_trouble_ends_when_the_picture_is_as_it_was() -> None:
    health = watched(BAD["turned"])
    health = picture.step(health, picture.look(noisy(ROOM, 5)), health.time_s + 1)
    assert health.trouble == []


def test_a_shift_of_a_twentieth_of_the_picture_is_measured() -> None:
    assert watched(lambda frame: np.roll(frame, WIDTH // 20, axis=1)).shift == pytest.approx(0.05, abs=0.01)


def test_a_hand_before_the_lens_for_some_seconds_is_no_trouble() -> None:
    assert watched(BAD["covered"], seconds=int(LASTS_S) - 1).trouble == []


def test_a_frozen_picture_is_known_although_frames_arrive() -> None:
    health, frame = watched(lambda frame: frame, seconds=0), noisy(ROOM, 0)
    for second in range(int(FROZEN_S) + 2):
        health = picture.step(health, picture.look(frame), 30.0 + second)
    assert health.trouble == ["frozen"]


def test_a_still_room_is_not_frozen_because_its_sensor_is_noisy() -> None:
    assert watched(lambda frame: frame, seconds=120).trouble == []


def test_what_is_masked_is_gone_from_the_frame_itself() -> None:
    frame = ROOM.copy()
    assert picture.burn(frame, [((0, 0), (0.5, 0), (0.5, 1), (0, 1))]) is frame
    assert not frame[:, : WIDTH // 2].any()
    assert (frame[:, WIDTH // 2 + 1 :] == ROOM[:, WIDTH // 2 + 1 :]).all()


def test_motion_is_a_share_of_the_picture_and_a_still_room_has_none() -> None:
    motion = picture.Motion()
    still = [motion.share(noisy(ROOM, n)) for n in range(40)]
    assert max(still[20:]) < picture.MOVING
    assert motion.share(HARMLESS["a person in the way"](ROOM)) > picture.MOVING


def test_a_point_lies_in_a_zone_or_not() -> None:
    kitchen = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    assert picture.inside(kitchen, 0.2, 0.5)
    assert not picture.inside(kitchen, 0.7, 0.5)
