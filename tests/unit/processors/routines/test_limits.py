from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from processors.routines.limits import BINS, CAP, FIXED, FLOOR_MIN, Limits, due, fit, local_minutes, score
from tests.unit.processors.routines.days import PATIENT, ZONE, at

DAY = 24 * 60
limits_ = st.lists(st.integers(0, 2000), min_size=BINS, max_size=BINS).map(
    lambda some: Limits(tuple(some), 40)
)
times = st.integers(0, 365 * DAY).map(
    lambda minutes: at(0) + timedelta(minutes=minutes, seconds=minutes % 60)
)
spans = st.lists(
    st.tuples(st.integers(0, 60 * DAY), st.integers(15, 900)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=60,
)


@PATIENT
@given(limits_, times)
def test_no_silence_lasts_longer_than_half_a_day(limits: Limits, last: datetime) -> None:
    assert due(limits, last, ZONE) - last <= CAP


@PATIENT
@given(limits_, times, st.integers(0, 20_000))
def test_a_silence_that_began_earlier_is_found_no_later(limits: Limits, last: datetime, seconds: int) -> None:
    assert due(limits, last - timedelta(seconds=seconds), ZONE) <= due(limits, last, ZONE)


@PATIENT
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 12))
def test_more_silence_never_lowers_the_score(one: float, other: float, limit: float) -> None:
    less, more = sorted((one, other))
    length = timedelta(hours=limit)
    assert score(timedelta(hours=less), length) <= score(timedelta(hours=more), length) < 1


def test_at_its_limit_a_silence_is_a_finding() -> None:
    assert abs(score(timedelta(hours=3), timedelta(hours=3)) - 0.95) < 1e-9


@PATIENT
@given(spans, spans, st.integers(0, 70 * DAY))
def test_limits_are_learned_from_the_past_only(
    silences: list[tuple[int, int]], absences: list[tuple[int, int]], now: int
) -> None:
    def ended(some: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [span for span in some if span[1] <= now // DAY * DAY]

    later = [(begin + now + DAY, end + now + DAY) for begin, end in silences]
    known = fit(ended(silences), ended(absences), 0, now)
    assert fit([*ended(silences), *later], ended(absences), 0, now) == known


@PATIENT
@given(spans, spans)
def test_no_limit_is_beyond_its_bounds(
    silences: list[tuple[int, int]], absences: list[tuple[int, int]]
) -> None:
    minutes = fit(silences, absences, 0, 60 * DAY).minutes
    assert len(minutes) == BINS
    assert all(FLOOR_MIN <= minute <= CAP / timedelta(minutes=1) for minute in minutes)


def test_who_sleeps_till_seven_is_missed_in_the_morning_and_not_at_night() -> None:
    nights = [(n * DAY + 22 * 60, (n + 1) * DAY + 7 * 60 + 15 * (n % 3)) for n in range(40)]
    learned = fit(nights, [], 0, 41 * DAY)
    last = datetime(2026, 5, 1, 22, tzinfo=ZoneInfo("UTC"))
    assert due(learned, last, ZoneInfo("UTC")) == datetime(2026, 5, 2, 8, tzinfo=ZoneInfo("UTC"))
    assert learned.days == 40


def test_a_few_days_teach_nothing() -> None:
    assert fit([(60, 120)], [], 0, 5 * DAY) == FIXED


def test_hours_out_of_the_house_are_no_silence() -> None:
    out = [(n * DAY + 9 * 60, n * DAY + 17 * 60) for n in range(40)]
    noon = 12 * 4
    assert fit([], out, 0, 41 * DAY).minutes[noon] == CAP / timedelta(minutes=1)
    assert fit([], [], 0, 41 * DAY).minutes[noon] == FLOOR_MIN


def test_by_the_fixed_rule_eight_hours_by_day_and_twelve_by_night_are_found() -> None:
    assert due(FIXED, at(1, 9), ZONE) == at(1, 17)
    assert due(FIXED, at(1, 21), ZONE) == at(2, 9)
    assert due(FIXED, at(1, 23.75), ZONE) == at(2, 10)


def test_the_home_s_own_clock_counts() -> None:
    assert local_minutes(at(0, 7.5), ZONE) % DAY == 450
