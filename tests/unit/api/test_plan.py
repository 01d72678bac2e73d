"""An estate's plan: every place is on it, north is up, and nothing lies outside."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.console.plan import BOX, WIDTH, draw
from vigil.store.overview import Spot

SPOT = Spot("z", "1号楼", "1号楼", "e1", "一区", False, None, None, 1, 0, None)
METRES = st.one_of(st.none(), st.floats(-5000, 5000))


@given(st.lists(st.tuples(METRES, METRES), min_size=1, max_size=60))
def test_no_place_covers_another(points: list[tuple[float | None, float | None]]) -> None:
    (plan,) = draw([replace(SPOT, x_m=x, y_m=y) for x, y in points])
    for n, one in enumerate(plan.places):
        for other in plan.places[n + 1 :]:
            assert abs(one.x - other.x) >= BOX[0] or abs(one.y - other.y) >= BOX[1]


def test_who_lives_there_unprotected_is_counted_where_they_live() -> None:
    home, court = SPOT, replace(SPOT, zone="court", building=None, public=True)
    (plan,) = draw([home, court], {("e1", "1号楼"): (12, 3), ("e1", "z"): (1, 1)})
    assert [(at.residents, at.bare) for at in plan.places] == [(12, 3), (0, 0)]


@given(st.lists(st.tuples(METRES, METRES), min_size=1, max_size=40))
def test_every_place_is_on_the_plan_and_none_outside(points: list[tuple[float | None, float | None]]) -> None:
    (plan,) = draw([replace(SPOT, x_m=x, y_m=y) for x, y in points])
    assert len(plan.places) == len(points)
    assert all(0 <= at.x <= WIDTH and 0 <= at.y <= plan.height for at in plan.places)


def test_north_is_up_and_east_is_right() -> None:
    south, north = replace(SPOT, x_m=0.0, y_m=0.0), replace(SPOT, x_m=50.0, y_m=90.0)
    (plan,) = draw([south, north])
    first, second = plan.places
    assert second.y < first.y
    assert second.x > first.x


def test_each_estate_has_a_plan_of_its_own() -> None:
    assert [plan.estate for plan in draw([SPOT, replace(SPOT, estate="e2")])] == ["e1", "e2"]
