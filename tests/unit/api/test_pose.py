"""Key points as stick figures: nothing outside, nothing invented."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from api.console.pose import FIGURES, HEIGHT, SURE, draw

POINT = st.tuples(st.integers(-1000, 2000), st.integers(-1000, 2000), st.integers(0, 100))
FRAME = st.lists(POINT, min_size=17, max_size=17).map(lambda points: [n for point in points for n in point])
STANDING = [
    *[500, 100, 90],
    *[500, 100, 0] * 4,
    *[480, 250, 90, 520, 250, 90],
    *[500, 300, 0] * 4,
    *[480, 500, 90, 520, 500, 90, 480, 700, 90, 520, 700, 90, 480, 900, 90, 520, 900, 90],
]
"""One frame: head, shoulders and legs are seen, arms are not."""


@given(st.lists(FRAME, min_size=1, max_size=40), st.floats(0.5, 60), st.floats(0.3, 3))
def test_every_figure_lies_in_its_own_cell(frames: list[list[int]], rate: float, aspect: float) -> None:
    strip = draw(frames, rate, aspect)
    if strip is None:
        assert all(confidence < SURE for frame in frames for confidence in frame[2::3])
        return
    assert len(strip.figures) == min(FIGURES, len(frames))
    for figure in strip.figures:
        points = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", figure.path)]
        points += [figure.head] if figure.head else []
        assert all(figure.x <= x <= figure.x + 120 and 0 <= y <= HEIGHT for x, y in points)


def test_the_first_and_the_last_frame_are_shown_with_their_time() -> None:
    strip = draw([STANDING] * 31, 10, 1.5)
    assert strip is not None
    assert [strip.figures[0].seconds, strip.figures[-1].seconds] == [0, 3]


def test_what_the_camera_did_not_see_is_not_drawn() -> None:
    strip = draw([STANDING], 10, 1.0)
    assert strip is not None
    (figure,) = strip.figures
    assert figure.head is not None
    assert figure.path.count("M") == 8  # trunk and legs: the arms were not sure
    assert draw([[0, 0, 0] * 17], 10, 1.0) is None
