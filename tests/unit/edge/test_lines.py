from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import lines
from edge.lines import Battery, Grid, Pressed, Sample
from vigil.errors import Rejected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A p1 12040 3 -998 12", Sample("p1", 12040, (3, -998, 12))),
        ("S p1", Pressed("p1")),
        ("B p1 87", Battery("p1", 87.0)),
    ],
)
def test_a_line_is_a_sample_a_press_or_a_battery(text: str, line: lines.Line) -> None:
    assert lines.parse(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A p1 1 2 3",
        "A p1 x 1 2 3",
        "A p1 1 2 3 99999",
        "B p1 101",
        "B p1 -1",
        "S",
        "Q p1",
        "A p1 1 2 3 4 5",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        lines.parse(text)


@given(st.text(max_size=200))
def test_no_line_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(Rejected):
        lines.parse(text)


def stream(*times: int) -> tuple[list[int], int]:
    """How many samples each time adds to the stream, and how many streams there were."""
    grid: Grid | None = None
    added, begun = [], 0
    for ms in times:
        grid, samples, begins = lines.join(grid, Sample("p1", ms, (0, -1000, 0)))
        added.append(len(samples))
        begun += begins
    return added, begun


def test_a_steady_sender_adds_one_sample_at_a_time() -> None:
    assert stream(1000, 1020, 1040, 1060) == ([1, 1, 1, 1], 1)


def test_a_timer_that_jitters_adds_no_sample_and_loses_none() -> None:
    added, begun = stream(*[1000 + 20 * n + (n * 7) % 9 - 4 for n in range(500)])
    assert (sum(added), begun) == (500, 1)


def test_what_is_missing_is_left_as_a_gap() -> None:
    grid, _, _ = lines.join(None, Sample("p1", 1000, (0, -1000, 0)))
    _, samples, _ = lines.join(grid, Sample("p1", 1080, (0, -1000, 0)))
    assert np.isnan(samples[:3]).all()
    assert samples[3].tolist() == [0.0, -1.0, 0.0]


def test_what_comes_twice_or_late_is_dropped() -> None:
    assert stream(1000, 1020, 1040, 1040, 1020, 1060) == ([1, 1, 1, 0, 0, 1], 1)


def test_a_silence_begins_a_new_stream() -> None:
    assert stream(1000, 1020, 2000, 2020) == ([1, 1, 1, 1], 2)


def test_a_sender_that_starts_again_begins_a_new_stream() -> None:
    assert stream(50_000, 50_020, 0, 20) == ([1, 1, 1, 1], 2)
