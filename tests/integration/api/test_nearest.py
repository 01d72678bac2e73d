"""Whom a fall in a public place may concern, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
PLAN = """
    UPDATE zone SET x_m = 0, y_m = 0 WHERE id = 'z1';
    INSERT INTO zone (id, estate, name, x_m, y_m) VALUES ('z2', 'e1', 'near', 3, 4), ('z3', 'e1', 'far', 30, 40);
    INSERT INTO resident (id, estate, home, name, flagged, risk) VALUES
        ('near', 'e1', 'z2', 'Near', true, 1), ('far', 'e1', 'z3', 'Far', true, 1),
        ('unplanned', 'e1', NULL, 'Unplanned', true, 1), ('young', 'e1', 'z2', 'Young', false, 1),
        ('abroad', 'e2', 'z2', 'Abroad', true, 1);
"""


async def test_the_flagged_who_live_nearest_are_shown_and_the_look_is_written_down(world: World) -> None:
    async with world.pool.connection() as connection:
        await connection.execute(PLAN)
    li = await world.person("li")
    alert = await world.raise_alert("zone:z1", resident=None)
    found = (await li.get(f"/api/v1/alerts/{alert}/nearest")).json()["items"]
    assert [(one["id"], one["metres"]) for one in found] == [
        ("r1", 0),
        ("near", 5),
        ("far", 50),
        ("unplanned", None),
    ]
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM access_log WHERE what = 'nearest'")
        assert await cursor.fetchone() == (4,)


async def test_who_is_known_has_no_neighbours_asked_about(world: World) -> None:
    li = await world.person("li")
    alert = await world.raise_alert(resident="r1")
    assert (await li.get(f"/api/v1/alerts/{alert}/nearest")).json() == {"items": []}


async def test_nobody_asks_about_another_estate_or_without_the_right_to_see_people(world: World) -> None:
    alert = await world.raise_alert("zone:z1", resident=None)
    elsewhere = await world.person("wu", estates=("e2",))
    problem(await elsewhere.get(f"/api/v1/alerts/{alert}/nearest"), 404)
    ops = await world.person("ops", "ops")
    problem(await ops.get(f"/api/v1/alerts/{alert}/nearest"), 403)
