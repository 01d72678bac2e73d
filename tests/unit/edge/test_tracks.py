from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import tracks
from edge.tracks import LOST_S, Tracks
from tests.unit.processors.posefalls import figure

STANDING = figure.film(((0.2, figure.STAND),), figure.Camera(), 0)[0][1]
SEATED = figure.film(((0.2, figure.SIT),), figure.Camera(), 90)[0][1]


def at(points: tracks.Points, across: float, down: float = 0.0) -> tracks.Points:
    return (points + np.array((across, down, 0), np.float32)).astype(np.float32)


def followed(frames: list[list[tracks.Points]], apart_s: float = 0.125) -> list[Tracks]:
    states = [Tracks()]
    for number, people in enumerate(frames):
        states.append(tracks.step(states[-1], people, number * apart_s))
    return states[1:]


def numbers(state: Tracks) -> list[int]:
    return [track.number for track in state.people]


def test_a_person_who_stays_keeps_their_number() -> None:
    assert {tuple(numbers(state)) for state in followed([[STANDING]] * 10)} == {(1,)}


def test_a_person_who_walks_keeps_their_number() -> None:
    assert numbers(followed([[at(STANDING, 0.02 * n)] for n in range(20)])[-1]) == [1]


def test_a_seated_bystander_keeps_their_number_while_somebody_falls_past_them() -> None:
    film = figure.film(figure.FALLS["forwards"], figure.Camera(), 90)
    bystander = at(SEATED, 0.25)
    last = followed([[points, bystander] for _, points in film])[-1]
    assert numbers(last) == [1, 2]
    assert tracks.distance(last.people[1].last.points, bystander) == 0
    assert tracks.distance(last.people[0].last.points, film[-1][1]) == 0


@pytest.mark.parametrize("name", list(figure.FALLS))
@pytest.mark.parametrize("facing", range(0, 360, 45))
def test_who_is_lost_from_sight_while_falling_is_found_again_on_the_floor(name: str, facing: int) -> None:
    film = figure.film(figure.FALLS[name], figure.Camera(), facing)
    frames = [[] if 1.6 < time < 2.6 else [points] for time, points in film]
    assert numbers(followed(frames)[-1]) == [1]


def test_a_person_far_behind_does_not_take_over_the_number_of_one_near_by() -> None:
    far = (STANDING * (0.25, 0.25, 1) + (0.5, 0.4, 0)).astype(np.float32)
    last = followed([[STANDING], [far]])[-1]
    assert numbers(last) == [1, 2]


def test_a_person_found_twice_is_followed_once() -> None:
    assert numbers(followed([[STANDING, at(STANDING, 0.01)]])[-1]) == [1]


def test_a_track_ends_after_looking_in_vain_for_two_seconds() -> None:
    states = followed([[STANDING], *[[]] * 30])
    alive = [state for state in states if state.people]
    assert len(alive) == 1 + int(LOST_S / 0.125)


def test_a_pause_of_an_hour_without_a_look_does_not_end_a_track() -> None:
    state = tracks.step(Tracks(), [STANDING], 0.0)
    assert numbers(tracks.step(state, [STANDING], 3600.0)) == [1]


def test_while_nothing_moves_everybody_stays_where_they_were() -> None:
    state = tracks.still(tracks.step(Tracks(), [STANDING], 0.0), 1.0)
    assert [sight.time_s for sight in state.people[0].sights] == [0.0, 1.0]


def test_who_was_not_found_is_not_said_to_be_still_there() -> None:
    state = tracks.still(tracks.step(tracks.step(Tracks(), [STANDING], 0.0), [], 0.5), 1.0)
    assert [sight.time_s for sight in state.people[0].sights] == [0.0]


def test_a_track_forgets_what_is_older_than_four_seconds() -> None:
    (track,) = followed([[STANDING]] * 100)[-1].people
    assert track.sights[-1].time_s - track.sights[0].time_s <= tracks.KEEP_S


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.floats(-1, 2), max_size=8), max_size=12))
def test_no_two_people_ever_share_a_number_and_nobody_is_followed_twice(frames: list[list[float]]) -> None:
    for state in followed([[at(STANDING, place) for place in places] for places in frames]):
        assert len(set(numbers(state))) == len(state.people) <= 2 * tracks.MAX_PEOPLE
        seen = [track.last.points for track in state.people if track.last.time_s == state.time_s]
        assert all(
            tracks.distance(one, other) > tracks.SAME for one, other in itertools.combinations(seen, 2)
        )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.floats(0, 2), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_pairing_gains_as_much_as_the_best_of_all_pairings(table: list[list[float]]) -> None:
    gains = np.array(table)
    found = sum(gains[row, column] for row, column in tracks._best(gains))
    rows = range(len(gains))
    every = itertools.permutations([*range(3), *[None] * len(gains)], len(gains))
    best = max(
        sum(gains[r, c] for r, c in zip(rows, chosen, strict=True) if c is not None) for chosen in every
    )
    assert found == pytest.approx(best)
