from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.routines.history import (
    DAY_MIN,
    FEWEST,
    LONGEST_MIN,
    Ended,
    Habits,
    History,
    chance_of_trips,
    habits,
    kept,
)
from tests.unit.processors.routines.days import PATIENT


@PATIENT
@given(st.integers(0, 40), st.integers(0, 300), st.integers(0, 60))
def test_more_trips_are_never_likelier(count: int, trips: int, nights: int) -> None:
    chance = chance_of_trips(count, trips, nights)
    assert 0 <= chance_of_trips(count + 1, trips, nights) <= chance <= 1 + 1e-9


def test_a_night_without_trips_surprises_nobody() -> None:
    assert chance_of_trips(0, 10, 10) == 1


def test_five_trips_are_rare_for_who_goes_once_and_common_for_who_goes_four_times() -> None:
    assert chance_of_trips(5, 30, 30) < 0.01
    assert chance_of_trips(5, 120, 30) > 0.3


def test_what_is_older_than_two_months_is_dropped() -> None:
    ended = Ended(silences=((0, 30),), absences=((0, 60),), nights=((1, 2),), exits=(1,))
    recent = Ended(silences=((90 * DAY_MIN, 90 * DAY_MIN + 30),), nights=((90, 1),), exits=(90,))
    history = kept(History(since=0), [ended, recent], 91 * DAY_MIN)
    assert history.silences == recent.silences
    assert history.absences == ()
    assert (history.nights, history.exits) == ({90: 1}, (90,))


def test_nothing_known_is_the_fixed_rule() -> None:
    learned = habits(History(since=0), DAY_MIN)
    assert msgspec.structs.replace(learned, exit_share=0.0) == Habits()


def test_a_usual_rise_is_learned_from_the_nights() -> None:
    nights = tuple((n * DAY_MIN + 22 * 60, (n + 1) * DAY_MIN + 7 * 60) for n in range(20))
    learned = habits(History(since=0, silences=nights), 21 * DAY_MIN)
    assert (learned.up_min, learned.up_by_min) == (7 * 60, 8 * 60)


def test_ways_out_teach_how_long_is_long() -> None:
    out = tuple((n * DAY_MIN + 600, n * DAY_MIN + 720) for n in range(FEWEST))
    assert habits(History(since=0, absences=out), 30 * DAY_MIN).away_min == 240
    assert habits(History(since=0, absences=out[1:]), 30 * DAY_MIN).away_min == LONGEST_MIN


def test_the_history_survives_being_stored() -> None:
    history = History(since=3, silences=((1, 2),), absences=((3, 4),), nights={5: 6}, exits=(7,))
    stored = msgspec.json.decode(msgspec.json.encode(history))
    assert msgspec.convert(stored, History, strict=False) == history
