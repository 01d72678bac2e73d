"""Curves: lines break where there is nothing, scales are round, days are local."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from api.console.curves import HEIGHT, LEFT, WIDTH, draw
from api.course import Line, edges_of

NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)
VALUES = st.lists(st.none() | st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=40)


def edges(count: int) -> list[datetime]:
    return [NOW + timedelta(days=n) for n in range(count + 1)]


@given(VALUES)
def test_every_value_lies_within_the_picture_and_none_is_lost(values: list[float | None]) -> None:
    curve = draw(edges(len(values)), [Line("x", "", tuple(values))])
    known = [value for value in values if value is not None]
    if not known:
        assert curve is None
        return
    assert curve is not None
    (line,) = curve.lines
    assert [dot.value for dot in line.dots] == known
    assert all(LEFT <= dot.x <= WIDTH and 0 <= dot.y <= HEIGHT for dot in line.dots)
    assert curve.top >= max(known) * 0.999


def test_a_line_breaks_where_there_is_no_value() -> None:
    curve = draw(edges(5), [Line("x", "", (1.0, 2.0, None, 3.0, 4.0))])
    assert curve is not None
    assert curve.lines[0].path.count("M") == 2


def test_a_goal_is_within_the_scale_though_all_values_are_small() -> None:
    curve = draw(edges(2), [Line("x", "", (0.01, 0.02))], goal=1.0)
    assert curve is not None
    assert curve.goal is not None
    assert 0 <= curve.goal <= HEIGHT


def test_a_week_is_cut_at_local_midnights_and_a_day_into_hours() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    week = edges_of(NOW - timedelta(days=7), NOW, zone)
    assert [edge.astimezone(zone).hour for edge in week[1:-1]] == [0] * 7
    assert (week[0], week[-1]) == (NOW - timedelta(days=7), NOW)
    assert len(edges_of(NOW - timedelta(days=1), NOW, zone)) == 25
