"""A home's day as a line: in order, inside, by the community's clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from api.console.timeline import ROW, WIDTH, draw, span

EVENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
HEARD = st.lists(
    st.tuples(
        st.integers(-100_000, 10_000).map(lambda s: EVENT + timedelta(seconds=s)),
        st.sampled_from(["motion", "door", "bed"]),
    ),
    max_size=60,
)


@given(HEARD, st.integers(0, 100_000).map(lambda s: EVENT + timedelta(seconds=s)))
def test_everything_within_a_day_is_on_the_line_and_nothing_outside(
    heard: list[tuple[datetime, str]], now: datetime
) -> None:
    line, (since, until) = draw(heard, EVENT, now, SHANGHAI), span(EVENT, now)
    inside = [kind for at, kind in heard if since <= at <= until]
    if line is None:
        assert not inside
        return
    assert [lane.kind for lane in line.lanes] == sorted(set(inside))
    assert line.height == len(line.lanes) * ROW
    for lane in line.lanes:
        xs = [float(x) for x in re.findall(r"M([\d.]+),", lane.path)]
        assert xs == sorted(xs)
        assert all(0 <= x <= WIDTH for x in xs)


def test_hours_are_the_communitys() -> None:
    line = draw([(EVENT, "door")], EVENT, EVENT, SHANGHAI)
    assert line is not None
    assert [mark.hour for mark in line.marks] == [21, 0, 3, 6, 9, 12, 15, 18]


def test_how_long_it_was_quiet_is_measured_up_to_the_event() -> None:
    heard = [(EVENT - timedelta(hours=9), "door"), (EVENT + timedelta(minutes=1), "motion")]
    line = draw(heard, EVENT, EVENT + timedelta(hours=1), SHANGHAI)
    assert line is not None
    assert line.quiet == timedelta(hours=9)
    assert draw([], EVENT, EVENT, SHANGHAI) is None
