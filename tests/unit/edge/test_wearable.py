from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from edge import simulation, wearable
from edge.reading import Reading, check
from edge.trigger import impact_and_posture
from edge.wearable import Wearer
from vigil.events import FallSuspected, Readings, Stillness
from vigil.impact import RATE_HZ

Samples: TypeAlias = NDArray[np.float32]
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
WEARER = Wearer("p1", "waist", "z1")


def fed(samples: Samples, rate_hz: float = RATE_HZ, chunk: int = 25) -> list[Reading]:
    worn, readings = wearable.begin(AT, rate_hz), []
    for at in range(0, len(samples), chunk):
        worn, found = wearable.feed(WEARER, worn, samples[at : at + chunk])
        readings += found
    worn, found = wearable.end(WEARER, worn)
    return readings + found


def standing(seconds: float) -> Samples:
    return np.tile(np.array((0, -1, 0), np.float32), (round(seconds * RATE_HZ), 1))


def struck(*at_s: float, lasting: float = 60) -> Samples:
    samples = standing(lasting)
    for second in at_s:
        samples[round(second * RATE_HZ)] *= 3
    return samples


def of(kind: type, readings: list[Reading]) -> list[Reading]:
    return [reading for reading in readings if isinstance(reading.data, kind)]


def falls(readings: list[Reading]) -> list[FallSuspected]:
    return [reading.data for reading in readings if isinstance(reading.data, FallSuspected)]


def looks_like_fall(fall: FallSuspected) -> bool:
    window = np.array(fall.accel_mg, np.float32).reshape(-1, 3) / np.float32(1000)
    return impact_and_posture(window).is_fall


def test_an_impact_is_a_suspected_fall_at_the_time_it_happened() -> None:
    (fall,) = of(FallSuspected, fed(struck(10)))
    assert fall.time == AT + timedelta(seconds=10)
    assert isinstance(fall.data, FallSuspected)
    assert fall.data.peak_g == pytest.approx(3)
    assert (fall.data.placement, fall.data.zone) == ("waist", "z1")
    assert fall.data.accel_mg[300:303] == [0, -3000, 0]


def test_the_stillness_after_it_belongs_to_the_same_episode() -> None:
    readings = fed(struck(10))
    (fall,), (still,) = of(FallSuspected, readings), of(Stillness, readings)
    assert isinstance(fall.data, FallSuspected)
    assert isinstance(still.data, Stillness)
    assert still.data.episode == fall.data.episode
    assert (still.data.still_s, still.data.watched_s) == (20, 20)


def test_a_second_impact_soon_after_is_the_same_episode_and_one_much_later_is_another() -> None:
    first, second, third = (fall.episode for fall in falls(fed(struck(5, 20, 70, lasting=100))))
    assert first == second != third


def test_an_episode_goes_on_into_the_next_stream() -> None:
    worn, before = wearable.feed(WEARER, wearable.begin(AT), struck(5, lasting=10))
    worn = wearable.begin(AT + timedelta(seconds=12), before=worn)
    _, after = wearable.feed(WEARER, worn, struck(5, lasting=10))
    assert falls(before)[0].episode == falls(after)[0].episode


def test_an_impact_just_before_the_end_of_a_stream_is_reported() -> None:
    assert len(of(FallSuspected, fed(struck(9.9, lasting=10)))) == 1


def test_activity_goes_out_every_minute_one_value_a_second_from_the_time_of_the_first() -> None:
    readings = of(Readings, fed(standing(150), chunk=7))
    data = [reading.data for reading in readings]
    assert [len(batch.values) for batch in data if isinstance(batch, Readings)] == [60, 60, 30]
    assert [reading.time for reading in readings] == [AT + timedelta(seconds=60 * n) for n in range(3)]


def test_a_recording_that_plays_fast_takes_less_time() -> None:
    readings = fed(struck(10), rate_hz=100)
    (fall,), (activity, *_) = of(FallSuspected, readings), of(Readings, readings)
    assert fall.time == AT + timedelta(seconds=5)
    assert isinstance(activity.data, Readings)
    assert activity.data.interval_s == 0.5


def test_gaps_and_broken_samples_make_valid_events() -> None:
    samples = struck(10)
    samples[505:510] = np.nan
    samples[700] = np.inf
    for reading in fed(samples):
        check(reading)


def test_what_lies_beyond_the_range_of_the_event_is_cut_to_it() -> None:
    samples = standing(20)
    samples[500] = (0, -60, 0)
    (fall,) = of(FallSuspected, fed(samples))
    check(fall)


class TestSimulation:
    @pytest.mark.parametrize("seed", range(40))
    def test_a_simulated_fall_passes_the_trigger_and_the_simple_rule(self, seed: int) -> None:
        windows = falls(fed(simulation.falling(np.random.default_rng(seed))))
        assert any(looks_like_fall(window) for window in windows)

    @pytest.mark.parametrize("seed", range(40))
    def test_sitting_down_hard_passes_the_trigger_and_not_the_rule(self, seed: int) -> None:
        windows = falls(fed(simulation.bump(np.random.default_rng(seed))))
        assert windows
        assert not any(looks_like_fall(window) for window in windows)

    @pytest.mark.parametrize("movement", ["rest", "stand", "walk"])
    def test_ordinary_movement_does_not_reach_the_trigger(self, movement: simulation.Movement) -> None:
        assert of(FallSuspected, fed(simulation.moving(movement, 0, 300, np.random.default_rng(1)))) == []

    def test_the_same_seed_lives_the_same_day(self) -> None:
        assert day(Random(4)) == day(Random(4)) != day(Random(5))

    def test_people_sleep_at_night_and_leave_traces_by_day(self) -> None:
        night = [simulation.next_activity("sitting", 23.5, Random(n))[0] for n in range(50)]
        assert set(night) == {"asleep"}
        sensors = {trace.kind for trace in day(Random(1), activities=200)}
        assert sensors == {"motion", "door", "bed", "appliance", "water_use"}

    def test_a_bed_a_door_and_a_kettle_that_go_on_go_off_again(self) -> None:
        for kind in ("door", "appliance", "water_use"):
            states = [trace.on for trace in day(Random(2), activities=200) if trace.kind == kind]
            assert states == [True, False] * (len(states) // 2)


def day(rng: Random, activities: int = 40) -> list[simulation.Trace]:
    """What the sensors of a home see of somebody who gets up at six and does so many things."""
    now: simulation.Activity = "asleep"
    hour, found = 6.0, []
    for _ in range(activities):
        then, lasts_s = simulation.next_activity(now, hour % 24, rng)
        found += simulation.traces(now, then, lasts_s, rng)
        now, hour = then, hour + lasts_s / 3600
    return found
