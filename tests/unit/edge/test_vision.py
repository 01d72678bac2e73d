from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import tracks, vision
from edge.tracks import Sight, Tracks
from edge.vision import Rest, Suspicion, Watch
from tests.unit.processors.posefalls import figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.tracks import Points

RATE_HZ = 8.0


def watched(film: Sequence[tuple[float, Points | None]]) -> list[tuple[float, Suspicion]]:
    state, watch, found = Tracks(), Watch(), []
    for time_s, points in film:
        state = tracks.step(state, [] if points is None else [points], time_s)
        watch, due = vision.step(watch, state, time_s, RATE_HZ)
        found += [(time_s, suspicion) for suspicion in due]
    return found


@pytest.mark.parametrize("name", list(figure.FALLS))
@pytest.mark.parametrize("away_m", [2.5, 4.0, 6.0])
@pytest.mark.parametrize("facing", range(0, 360, 45))
def test_every_fall_is_suspected_once(name: str, away_m: float, facing: int) -> None:
    found = watched(figure.film(figure.FALLS[name], figure.Camera(away_m=away_m), facing))
    assert len(found) == 1


def test_a_suspicion_is_due_within_two_and_a_half_seconds_of_the_drop() -> None:
    ((time_s, suspicion),) = watched(figure.film(figure.FALLS["backwards"], figure.Camera(), 90))
    assert time_s - suspicion.dropped_s <= 2.5


def test_a_suspicion_holds_three_seconds_from_standing_to_lying() -> None:
    ((_, suspicion),) = watched(figure.film(figure.FALLS["backwards"], figure.Camera(), 90))
    assert len(suspicion.frames) == vision.SEQUENCE_S * RATE_HZ
    assert suspicion.score > 0.9
    assert suspicion.frames[0][5:7, 1].mean() < suspicion.frames[-1][5:7, 1].mean()


@pytest.mark.parametrize("facing", range(0, 360, 45))
def test_a_fall_is_suspected_although_the_person_is_lost_from_sight_on_the_way(facing: int) -> None:
    film = figure.film(figure.FALLS["backwards"], figure.Camera(), facing)
    found = watched([(time, None if 1.6 < time < 2.9 else points) for time, points in film])
    assert len(found) == 1


def test_a_fall_after_which_the_person_is_never_found_is_suspected_all_the_same() -> None:
    film = figure.film(figure.FALLS["backwards"], figure.Camera(), 90)
    assert len(watched([(time, points if time < 2.3 else None) for time, points in film])) == 1


@pytest.mark.parametrize(
    "name", ["standing", "sitting down", "dropping into a chair", "kneeling down", "getting up"]
)
def test_who_is_upright_in_the_end_is_not_suspected(name: str) -> None:
    for facing in range(0, 360, 45):
        assert watched(figure.film(figure.DAILY_LIFE[name], figure.Camera(), facing)) == []


def test_unseen_frames_are_marked_by_confidence_zero() -> None:
    standing = figure.film(((0.2, figure.STAND),), figure.Camera(), 0)[0][1]
    sights = [Sight(n / RATE_HZ, standing) for n in range(25) if n not in (10, 11, 12)]
    frames = vision.sequence(sights, 3.0, RATE_HZ)
    assert [n for n, points in enumerate(frames) if not points[:, 2].any()] == [9, 10, 11]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 0.4), min_size=1, max_size=40), st.floats(0, 3))
def test_a_sequence_always_has_its_length_whatever_was_seen(gaps: list[float], late_s: float) -> None:
    points = np.full((17, 3), 0.5, np.float32)
    times = np.cumsum(gaps)
    frames = vision.sequence([Sight(float(t), points) for t in times], float(times[-1]) + late_s, RATE_HZ)
    assert len(frames) == 24


def test_nobody_in_sight_scores_nothing() -> None:
    assert vision.rule([np.zeros((17, 3), np.float32)] * 24) == 0.0


def resting(poses: Sequence[Points | None]) -> Rest:
    state, rest = Tracks(), Rest(1, 0.0)
    for second, points in enumerate(poses):
        state = tracks.step(state, [] if points is None else [points], float(second))
        rest = vision.rest(rest, state, float(second))
    return rest


def test_who_lies_still_for_ten_seconds_has_ten_still_seconds() -> None:
    lying = figure.film(((0.2, figure.ON_THE_BACK),), figure.Camera(), 90)[0][1]
    rest = resting([lying] * 11)
    assert (rest.still_s, rest.watched_s) == (10, 10)


def test_who_stirs_is_watched_and_not_still() -> None:
    lying = figure.film(((0.2, figure.ON_THE_BACK),), figure.Camera(), 90)[0][1]
    stirring = [lying + np.array((0.06 * (n % 2), 0, 0), np.float32) for n in range(11)]
    rest = resting(stirring)
    assert (rest.still_s, rest.watched_s) == (0, 10)


def test_seconds_out_of_sight_count_neither_as_still_nor_as_watched() -> None:
    lying = figure.film(((0.2, figure.ON_THE_BACK),), figure.Camera(), 90)[0][1]
    rest = resting([lying, lying, None, None, lying, lying])
    assert (rest.still_s, rest.watched_s) == (2, 2)
