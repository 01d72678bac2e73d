"""The picture of an impact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.console.trace import HEIGHT, LEAST_TOP_G, WIDTH, draw

AT_REST = [0, 0, 1000]


def test_a_device_at_rest_is_a_flat_line_at_one_g() -> None:
    trace = draw(AT_REST * 200, 50)
    assert trace is not None
    heights = {part.split(",")[1] for part in trace.path.removeprefix("M").split("L")}
    assert heights == {f"{HEIGHT * (1 - 1 / LEAST_TOP_G):.1f}"}


def test_the_peak_is_marked_where_it_is() -> None:
    trace = draw(AT_REST * 100 + [0, 0, 5200] + AT_REST * 99, 50)
    assert trace is not None
    assert trace.peak_g == 5.2
    assert round(trace.peak_x) == round(100 * WIDTH / 199)


def test_time_is_counted_from_the_peak() -> None:
    trace = draw(AT_REST * 100 + [0, 0, 5200] + AT_REST * 99, 50)
    assert trace is not None
    assert [tick.seconds for tick in trace.ticks] == [-2, -1, 0, 1]


def test_there_is_nothing_to_draw_of_nothing() -> None:
    assert draw([], 50) is None
    assert draw(AT_REST, 50) is None


@given(st.lists(st.integers(-32768, 32767), min_size=6, max_size=600), st.sampled_from([25, 50, 100]))
def test_everything_drawn_is_inside_the_box(samples: list[int], rate: int) -> None:
    trace = draw(samples, rate)
    assert trace is not None
    points = [tuple(map(float, p.split(","))) for p in trace.path.removeprefix("M").split("L")]
    assert all(0 <= x <= WIDTH + 0.1 and 0 <= y <= HEIGHT for x, y in points)
    assert all(0 < line.y < HEIGHT for line in trace.lines)
    assert all(-0.1 <= tick.x <= WIDTH + 0.1 for tick in trace.ticks)
    assert any(line.g == 1 for line in trace.lines)
    assert len(trace.lines) <= 6
