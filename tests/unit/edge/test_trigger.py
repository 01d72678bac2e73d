from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.trigger import State, Stillness, Window, finish, impact_and_posture, step
from vigil.impact import HALF, RATE_HZ, STILL_FOR_S, THRESHOLD_G

if TYPE_CHECKING:
    from numpy.typing import NDArray

UPRIGHT = (0.0, 1.0, 0.0)
LYING = (0.0, 0.0, 1.0)


def at_rest(seconds: float, posture: tuple[float, float, float] = UPRIGHT) -> NDArray[np.float32]:
    return np.tile(np.array(posture, np.float32), (round(seconds * RATE_HZ), 1))


def stream_with(peaks: dict[int, float], seconds: float = 40) -> NDArray[np.float32]:
    """Return a device at rest with single samples of the given size."""
    samples = at_rest(seconds)
    for place, size in peaks.items():
        samples[place] *= size
    return samples


def run(samples: NDArray[np.float32], chunk: int = 10_000) -> list[Window | Stillness]:
    state = State()
    found: list[Window | Stillness] = []
    for begin in range(0, len(samples), chunk):
        state, out = step(state, samples[begin : begin + chunk])
        found.extend(out)
    return [*found, *finish(state)]


def windows(found: list[Window | Stillness]) -> list[Window]:
    return [each for each in found if isinstance(each, Window)]


def stillness(found: list[Window | Stillness]) -> list[Stillness]:
    return [each for each in found if isinstance(each, Stillness)]


def test_an_impact_is_cut_with_its_peak_at_sample_100() -> None:
    (window,) = windows(run(stream_with({500: 3.0})))
    assert (window.peak, window.peak_g) == (500, 3.0)
    assert window.accel_g.shape == (200, 3)
    assert window.accel_g.dtype == np.float32
    assert np.linalg.norm(window.accel_g, axis=1).argmax() == 100


def test_what_stays_below_the_threshold_is_nobodys_business() -> None:
    assert run(stream_with({500: 1.79})) == []


def test_the_window_is_out_two_seconds_after_the_peak_and_not_later() -> None:
    samples = stream_with({500: 3.0})
    state, out = step(State(), samples[: 500 + HALF - 1])
    assert out == ()
    _, out = step(state, samples[500 + HALF - 1 : 500 + HALF])
    assert [each.peak for each in out if isinstance(each, Window)] == [500]


def test_a_stumble_less_than_a_second_before_the_fall_does_not_take_its_place() -> None:
    assert [each.peak for each in windows(run(stream_with({500: 2.0, 540: 5.0})))] == [540]


def test_a_harder_blow_just_after_the_first_search_is_centred_on() -> None:
    # 505 lies within a second of 500 and of 552; without climbing on, 552 would fall between two searches.
    assert [each.peak for each in windows(run(stream_with({500: 1.9, 505: 2.0, 552: 5.0})))] == [552]


def test_stumble_fall_and_second_impact_are_three_windows() -> None:
    found = windows(run(stream_with({500: 2.0, 560: 5.0, 640: 2.5})))
    assert [each.peak for each in found] == [500, 560, 640]


def test_a_second_crossing_within_the_rest_after_a_peak_is_not_a_new_window() -> None:
    assert [each.peak for each in windows(run(stream_with({500: 5.0, 549: 4.0})))] == [500]


def test_a_peak_at_the_very_beginning_is_filled_up_with_a_device_at_rest() -> None:
    (window,) = windows(run(stream_with({10: 3.0})))
    assert window.peak == 10
    assert np.allclose(window.accel_g[:90], UPRIGHT)


def test_a_stream_that_ends_inside_a_window_still_gives_it() -> None:
    samples = stream_with({500: 3.0})[:520]
    (window,) = windows(run(samples))
    assert window.peak == 500
    assert np.allclose(window.accel_g[120:], UPRIGHT)


def test_lying_still_for_twenty_seconds_is_counted() -> None:
    (still,) = stillness(run(stream_with({500: 3.0})))
    assert (still.peak, still.still_s, still.watched_s) == (500, STILL_FOR_S, STILL_FOR_S)


def test_moving_on_is_not_stillness() -> None:
    samples = stream_with({500: 3.0})
    samples[600:] += np.random.default_rng(0).normal(0, 0.1, samples[600:].shape).astype(np.float32)
    (still,) = stillness(run(samples))
    assert still.still_s == 0


def test_a_stream_that_ends_early_reports_how_long_it_watched() -> None:
    (still,) = stillness(run(stream_with({500: 3.0})[: 600 + 5 * RATE_HZ + 20]))
    assert (still.still_s, still.watched_s) == (5, 5)


def test_a_broken_reading_is_not_an_impact() -> None:
    samples = at_rest(20)
    samples[300] = np.nan
    samples[301, 0] = np.inf
    assert run(samples) == []


def test_a_stream_that_begins_with_a_broken_reading_goes_on() -> None:
    samples = stream_with({500: 3.0})
    samples[0] = np.nan
    (window,) = windows(run(samples))
    assert np.isfinite(window.accel_g).all()


def test_an_empty_chunk_changes_nothing() -> None:
    state, _ = step(State(), at_rest(1))
    again, out = step(state, np.empty((0, 3), np.float32))
    assert again is state
    assert out == ()


def test_a_stream_without_samples_ends_with_nothing() -> None:
    assert finish(State()) == ()


@pytest.mark.parametrize("shape", [(3,), (5, 2), (2, 5, 3)])
def test_a_chunk_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        step(State(), np.zeros(shape, np.float32))


def test_the_state_of_a_quiet_hour_stays_small() -> None:
    state, _ = step(State(), at_rest(3600))
    assert len(state.samples) <= 2 * HALF


IMPACTS = st.dictionaries(st.integers(0, 999), st.floats(1.0, 8.0), max_size=12)


@settings(max_examples=25, deadline=None)
@given(IMPACTS, st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_how_a_stream_is_chopped_up_changes_nothing(impacts: dict[int, float], sizes: list[int]) -> None:
    samples = stream_with(impacts, seconds=20)
    state, begin, turn = State(), 0, 0
    chopped: list[Window | Stillness] = []
    while begin < len(samples):
        size = sizes[turn % len(sizes)]
        state, out = step(state, samples[begin : begin + size])
        chopped.extend(out)
        begin, turn = begin + size, turn + 1
    chopped.extend(finish(state))
    whole = run(samples)
    assert sorted(each.peak for each in windows(chopped)) == [each.peak for each in windows(whole)]
    assert {(s.peak, s.still_s) for s in stillness(chopped)} == {
        (s.peak, s.still_s) for s in stillness(whole)
    }
    for one, other in zip(windows(chopped), windows(whole), strict=True):
        assert np.array_equal(one.accel_g, other.accel_g)


@settings(max_examples=25, deadline=None)
@given(IMPACTS)
def test_every_sample_above_the_threshold_lies_near_a_peak_that_is_no_smaller_or_in_its_rest(
    impacts: dict[int, float],
) -> None:
    samples = stream_with(impacts, seconds=20)
    size = np.linalg.norm(samples, axis=1)
    peaks = [each.peak for each in windows(run(samples))]
    assert all(later - earlier >= RATE_HZ for earlier, later in itertools.pairwise(peaks))
    for place in np.flatnonzero(size > THRESHOLD_G):
        after = [peak for peak in peaks if peak >= place and size[peak] >= size[place]]
        before = [peak for peak in peaks if peak <= place < peak + RATE_HZ]
        assert after or before


def fall(turned: tuple[float, float, float] = LYING) -> NDArray[np.float32]:
    window = np.concatenate((at_rest(2), at_rest(2, turned)))
    window[100] *= 4
    return window


def test_a_hard_impact_another_posture_and_rest_are_a_fall_by_the_simple_rule() -> None:
    measured = impact_and_posture(fall())
    assert measured.is_fall
    assert measured.peak_g == pytest.approx(4.0)
    assert measured.turn_deg == pytest.approx(90.0)


def test_who_stands_as_before_has_not_fallen_by_the_simple_rule() -> None:
    assert not impact_and_posture(fall(UPRIGHT)).is_fall


def test_who_moves_on_has_not_fallen_by_the_simple_rule() -> None:
    window = fall()
    window[150:] += np.random.default_rng(0).normal(0, 0.5, (50, 3)).astype(np.float32)
    assert not impact_and_posture(window).is_fall


def test_a_light_knock_is_no_fall_by_the_simple_rule() -> None:
    window = fall()
    window[100] /= 2.5
    assert not impact_and_posture(window).is_fall


def test_a_dead_sensor_is_no_fall_by_the_simple_rule() -> None:
    assert not impact_and_posture(np.zeros((200, 3), np.float32)).is_fall
