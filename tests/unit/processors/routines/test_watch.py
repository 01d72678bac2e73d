from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.routines.history import Habits
from processors.routines.limits import CAP
from processors.routines.watch import FEWEST_TRIPS, HEARD, Home, Seen, State, learn, look, step, wake
from tests.unit.processors.routines.days import HOME, PATIENT, ZONE, at, day, found, lived, month

SENSORS = ("motion", "door", "bed", "chair", "appliance", "water_use", "presence")
signs = st.lists(
    st.builds(
        lambda minutes, sensor, on: Seen(at(41) + timedelta(minutes=minutes), sensor, on),
        st.integers(0, 2 * 24 * 60),
        st.sampled_from(SENSORS),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


KNOWN: Final = lived(month())
"""A resident whose habits are known; latest sign on the evening of day 39."""


def after(state: State | None, some: list[Seen], home: Home = HOME) -> State:
    for seen in sorted(some, key=lambda one: one.at):
        state = step(state, seen, home).state
    assert state is not None
    return state


@PATIENT
@given(signs, st.booleans())
def test_somebody_is_missed_within_half_a_day_whatever_happened_before(
    some: list[Seen], learned: bool
) -> None:
    state = after(KNOWN if learned else None, some)
    assert state.wake_at is not None
    assert state.wake_at <= state.last + CAP
    assert "inactivity" in found(state, state.last + CAP)


@PATIENT
@given(signs, st.data())
def test_a_sensor_that_is_missing_never_delays_a_finding(some: list[Seen], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(SENSORS))
    heard = [one for one in some if one.sensor != gone]
    whole, part = after(KNOWN, some), after(KNOWN, heard)
    sooner, later = (
        min(one.wake_at for one in (state,) if one.wake_at is not None)
        for state in (msgspec.structs.replace(part, in_bed=None), msgspec.structs.replace(whole, in_bed=None))
    )
    assert _inactive(part) <= _inactive(whole)
    assert sooner <= part.last + CAP
    assert later <= whole.last + CAP


def _inactive(state: State) -> datetime:
    woken = wake(msgspec.structs.replace(state, in_bed=None), HOME)
    assert woken is not None
    return woken


@PATIENT
@given(signs, st.integers(0, 72), st.integers(1, 200), st.integers(0, 300))
def test_a_planned_absence_is_never_an_alarm(some: list[Seen], begins: int, length: int, looked: int) -> None:
    state = after(KNOWN, some)
    leaves = state.last + timedelta(hours=begins)
    returns = leaves + timedelta(hours=length)
    home = Home(ZONE, ((leaves, returns),))
    for one in look(state, leaves + timedelta(hours=min(looked, length)), home, None).findings:
        assert not leaves <= one.due < returns


@PATIENT
@given(signs)
def test_after_a_planned_absence_silence_counts_from_its_end(some: list[Seen]) -> None:
    state = after(KNOWN, some)
    returns = state.last + timedelta(days=9)
    home = Home(ZONE, ((state.last, returns),))
    woken = wake(msgspec.structs.replace(state, in_bed=None), home)
    assert woken is not None
    assert returns <= woken <= returns + CAP


@PATIENT
@given(signs, st.integers(0, 100))
def test_what_was_found_is_found_once_until_the_next_sign(some: list[Seen], hours: int) -> None:
    now = at(44) + timedelta(hours=hours)
    looked = look(after(KNOWN, some), now, HOME, now)
    kinds = [one.kind for one in looked.findings]
    assert len(kinds) == len(set(kinds))
    assert look(looked.state, now + timedelta(days=3), HOME, now).findings == ()
    woken = step(looked.state, Seen(now, "motion"), HOME).state
    assert "inactivity" in found(woken, now + CAP)


@PATIENT
@given(signs)
def test_a_state_survives_being_stored(some: list[Seen]) -> None:
    state = after(KNOWN, some)
    assert msgspec.convert(msgspec.to_builtins(state), State) == state
    assert len(msgspec.json.encode(state)) < 2000


@PATIENT
@given(signs, st.integers(1, 5000))
def test_a_sign_that_comes_late_changes_nothing(some: list[Seen], minutes: int) -> None:
    state = after(KNOWN, some)
    late = Seen(state.last - timedelta(minutes=minutes), "motion")
    assert step(state, late, HOME).state == state


@PATIENT
@given(st.lists(st.integers(0, 40 * 24 * 60), min_size=2, max_size=60, unique=True))
def test_limits_are_learned_once_a_week_and_not_before_a_month(minutes: list[int]) -> None:
    state, history, learned = None, None, []
    for minute in sorted(minutes):
        now = at(0) + timedelta(minutes=minute)
        outcome = step(state, Seen(now, "motion"), HOME)
        state, history = learn(outcome.state, history, [outcome.ended], now, HOME)
        if state.learned == now:
            learned.append(now)
    assert all(now - at(0) - timedelta(minutes=min(minutes)) >= timedelta(days=30) for now in learned)
    assert all(later - sooner >= timedelta(days=7) for sooner, later in itertools.pairwise(learned))


def test_who_is_usually_up_is_missed_in_words() -> None:
    (one,) = look(KNOWN, at(40, 11), HOME, at(40, 11)).findings
    assert one.kind == "inactivity"
    assert one.sentence["en"] == "Usually up by 07:15; nothing since 22:00"
    assert one.sentence["zh"] == "通常07:15前起床，22:00以来无任何活动"
    assert one.due < at(40, 11)
    assert one.score >= 0.95


def test_a_silent_afternoon_is_told_by_its_length() -> None:
    state = after(KNOWN, day(40, bed=13))
    (one,) = look(state, at(40, 20), HOME, at(40, 20)).findings
    assert one.sentence["en"].startswith(
        "Nothing since 13:00; at this time of day it is hardly ever quiet for"
    )


def test_in_the_first_month_the_sentence_says_that_habits_are_not_known() -> None:
    state = after(None, day(1))
    (one,) = look(state, at(2, 12), HOME, at(2, 12)).findings
    assert "not known yet" in one.sentence["en"]


def test_a_silence_of_the_sensors_is_told_apart_from_the_resident_s() -> None:
    late = at(40, 11)
    assert found(KNOWN, late, heard=late - HEARD) == ["inactivity"]
    for heard in (None, late - HEARD - timedelta(minutes=1)):
        (one,) = look(KNOWN, late, HOME, heard).findings
        assert one.kind == "sensors_silent"
        assert "nobody can tell" in one.sentence["en"]


def test_a_long_way_out_is_missed() -> None:
    out = [Seen(at(n, 9.0), "door", exit=True) for n in range(60)]
    back = [Seen(at(n, 11.0), "door", exit=True) for n in range(60)]
    inside = [Seen(at(n, 11.05 + 0.5 * k), "motion") for n in range(60) for k in range(22)]
    state = lived(sorted([*out, *back, *inside], key=lambda one: one.at))
    assert state.habits.away_min == 240
    state = step(state, Seen(at(60, 9), "door", exit=True), HOME).state
    assert found(state, at(60, 12.9)) == []
    (one,) = look(state, at(60, 13), HOME, at(60, 13)).findings
    assert (one.kind, one.since) == ("no_return", at(60, 9))
    assert one.sentence["en"].startswith("Went out at 09:00 and has not returned for 4 h")


def test_while_habits_are_unknown_half_a_day_is_a_long_way_out() -> None:
    state = step(None, Seen(at(1, 9), "door", exit=True), HOME).state
    assert found(state, at(1, 20.9)) == []
    assert found(state, at(1, 21)) == ["no_return"]


def test_the_front_door_at_night_is_missed_after_a_quarter_of_an_hour() -> None:
    state = step(KNOWN, Seen(at(40, 2), "door", exit=True), HOME).state
    assert found(state, at(40, 2.2)) == []
    assert found(state, at(40, 2.25)) == ["wandering"]
    back = step(state, Seen(at(40, 2.1), "motion"), HOME).state
    assert found(back, at(40, 2.5)) == []


def test_who_often_goes_out_at_night_is_not_missed_for_it() -> None:
    habits = msgspec.structs.replace(KNOWN.habits, exit_share=0.3)
    state = step(
        msgspec.structs.replace(KNOWN, habits=habits), Seen(at(40, 2), "door", exit=True), HOME
    ).state
    assert found(state, at(40, 3)) == []


def test_the_front_door_by_day_is_nothing() -> None:
    state = step(KNOWN, Seen(at(40, 9), "door", exit=True), HOME).state
    assert found(state, at(40, 10)) == []


def test_who_stays_in_bed_is_missed_even_if_the_bed_is_restless() -> None:
    state = step(KNOWN, Seen(at(39, 23), "bed"), HOME).state
    state = after(state, [Seen(at(40, 0.5 * n), "motion") for n in range(22)])
    (one,) = look(state, at(40, 9), HOME, at(40, 9)).findings
    assert one.kind == "not_up"
    assert one.sentence["en"] == "Usually up by 07:15; in bed since 23:00"
    up = step(state, Seen(at(40, 10.6), "bed", on=False), HOME).state
    assert found(up, at(40, 11)) == []


def test_while_habits_are_unknown_half_a_day_in_bed_is_long() -> None:
    state = step(None, Seen(at(1, 22), "bed"), HOME).state
    state = after(state, [Seen(at(1, 22.5 + 0.5 * n), "motion") for n in range(25)])
    assert found(state, at(2, 9.9)) == []
    assert found(state, at(2, 10)) == ["not_up"]


def test_who_lies_down_again_after_rising_is_given_half_a_day() -> None:
    state = step(KNOWN, Seen(at(40, 7.5), "bed"), HOME).state
    assert state.wake_at is not None
    assert "not_up" not in found(state, at(40, 19.4))
    assert "not_up" in found(state, at(40, 19.5))


def nights_of(trips: int, nights: int) -> State:
    return msgspec.structs.replace(KNOWN, habits=Habits(trips=trips * nights, nights=nights))


def trips(state: State, count: int, every: float = 0.5) -> list[int]:
    """Return at which trips of a night something was found."""
    told = []
    for n in range(count):
        outcome = step(state, Seen(at(40, 0.5 + every * n), "water_use"), HOME)
        state = outcome.state
        told += [n + 1] * sum(one.kind == "night_trips" for one in outcome.findings)
    return told


def test_a_night_of_many_trips_is_told_once() -> None:
    assert trips(nights_of(1, 30), 8) == [5]
    assert trips(nights_of(4, 30), 6) == []


def test_few_trips_are_nothing_to_tell_even_of_who_never_goes() -> None:
    assert trips(nights_of(0, 60), FEWEST_TRIPS - 1) == []
    assert trips(nights_of(0, 60), 8) == [FEWEST_TRIPS]


def test_flush_and_tap_are_one_trip() -> None:
    assert trips(nights_of(1, 30), 20, every=0.01) == []


def test_trips_of_a_night_are_learned_when_it_is_over() -> None:
    state = after(KNOWN, [Seen(at(40, hour), "water_use") for hour in (1.0, 3.0)])
    ended = step(state, Seen(at(40, 7), "motion"), HOME).ended
    assert [count for _, count in ended.nights] == [2]


def test_what_was_found_after_half_a_day_is_not_learned_as_usual() -> None:
    ended = step(KNOWN, Seen(at(40, 23), "motion"), HOME).ended
    assert ended.silences == ()
    assert len(ended.absences) == 1


@pytest.mark.parametrize("kind", ["door", "presence"])
def test_in_a_home_without_a_front_door_s_sensor_nobody_goes_out(kind: str) -> None:
    state = step(KNOWN, Seen(at(40, 9), kind), HOME).state
    assert "inactivity" in found(state, at(40, 21))


# --- Visitors and carers, who comes back early, sensors at fault ---


CARER = Home(ZONE, visits=((at(41).weekday(), 9 * 60, 10 * 60),))


def test_the_door_that_a_carer_closes_behind_them_leaves_the_resident_at_home() -> None:
    leaves = [Seen(at(41, 9.5), "motion"), Seen(at(41, 10), "door", exit=True)]
    assert after(KNOWN, leaves, CARER).left is None
    assert after(KNOWN, leaves).left == at(41, 10)
    assert found(after(KNOWN, leaves, CARER), at(41, 10) + CAP, CARER) == ["inactivity"]


def test_the_same_door_at_another_time_or_on_another_day_is_a_way_out() -> None:
    for hour in (8, 11):
        assert after(KNOWN, [Seen(at(41, hour), "door", exit=True)], CARER).left is not None
    assert after(KNOWN, [Seen(at(42, 9.5), "door", exit=True)], CARER).left is not None


HOSPITAL = Home(ZONE, planned=((at(40), at(60)),))


def test_who_waters_the_plants_ends_no_absence() -> None:
    visit = [
        Seen(at(45, 10), "door", exit=True),
        Seen(at(45, 10.1), "water_use"),
        Seen(at(45, 10.5), "door", exit=True),
    ]
    state = after(KNOWN, visit, HOSPITAL)
    assert found(state, at(50), HOSPITAL) == []


def test_who_is_back_early_is_watched_over_again() -> None:
    back = [Seen(at(45, 10 + hour / 2), "motion") for hour in range(8)]
    state = after(KNOWN, back, HOSPITAL)
    assert state.returned == at(40)
    assert "inactivity" in found(state, at(45, 14) + CAP, HOSPITAL)


def test_the_next_absence_holds_again_after_one_was_ended_early() -> None:
    twice = Home(ZONE, planned=((at(40), at(60)), (at(70), at(80))))
    back = [Seen(at(45, 10 + hour / 2), "motion") for hour in range(8)]
    state = after(after(KNOWN, back, twice), [Seen(at(69, 23), "motion")], twice)
    assert found(state, at(75), twice) == []


def spoken(days: int, *, dies: int) -> list[Seen]:
    """Return days of a home with a sensor in the hall, and one in the kitchen that dies."""
    hall = [Seen(one.at, "motion", device="hall") for n in range(days) for one in day(n)]
    kitchen = [
        Seen(one.at + timedelta(minutes=5), "motion", device="kitchen") for n in range(dies) for one in day(n)
    ]
    return sorted(hall + kitchen, key=lambda one: one.at)


def faults(some: list[Seen]) -> list[tuple[str, datetime]]:
    state: State | None = None
    told: list[tuple[str, datetime]] = []
    for one in some:
        outcome = step(state, one, HOME)
        state = outcome.state
        told += [(finding.kind, finding.due) for finding in outcome.findings]
    return told


def test_a_sensor_that_is_silent_while_others_speak_is_at_fault_and_is_told_once() -> None:
    ((kind, when),) = faults(spoken(30, dies=16))
    assert kind == "sensor_silent"
    assert timedelta(days=1) < when - at(15, 22) < timedelta(days=8)


def test_a_home_that_is_silent_as_a_whole_has_no_sensor_at_fault() -> None:
    away = [one for one in spoken(20, dies=20) if not at(10) <= one.at < at(15)]
    assert faults(away) == []


def test_a_sensor_that_hardly_ever_speaks_and_one_that_is_new_are_not_at_fault() -> None:
    rare = [Seen(at(n, 9), "door", device="cellar") for n in (0, 5, 9)]
    assert faults(sorted(spoken(20, dies=20) + rare, key=lambda one: one.at)) == []
    assert faults(spoken(12, dies=2)) == []


def test_what_a_person_is_missed_by_says_which_sensor_is_at_fault() -> None:
    state = None
    for one in spoken(30, dies=16):
        state = step(state, one, HOME).state
    assert state is not None
    (finding,) = look(state, state.last + CAP, HOME, state.last + CAP).findings
    assert finding.kind == "inactivity"
    assert "(at fault: motion sensor)" in finding.sentence["en"]
    assert "人体传感器" in finding.sentence["zh"]
