"""Plans of estates: uploaded, cleaned, replaced on what was seen, put back, shown to one's own estate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.svg import SVG
from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
PLAN = "/api/v1/estates/e1/plan"
DRAWN = f'<svg xmlns="{SVG}" viewBox="0 0 200 100"><rect width="9" height="9"/></svg>'


async def test_a_plan_is_uploaded_shown_replaced_taken_away_and_put_back(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    first = await boss.put(PLAN, json={"svg": DRAWN, "width_m": 400})
    assert first.status_code == 200, first.text
    assert first.json()["high"] == 0.5
    drawing = await boss.get(f"{PLAN}.svg")
    assert drawing.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in drawing.headers["Content-Security-Policy"]
    problem(await boss.put(PLAN, json={"svg": DRAWN}), 428)
    second = await boss.put(PLAN, json={"svg": DRAWN.replace("9", "7")}, headers={"If-Match": '"1"'})
    assert second.json()["version"] == 2
    problem(await boss.put(PLAN, json={"svg": DRAWN}, headers={"If-Match": '"1"'}), 412)
    assert (await boss.delete(PLAN, headers={"If-Match": '"2"'})).json()["drawn"] is False
    problem(await boss.get(f"{PLAN}.svg"), 404)
    back = await boss.post(f"{PLAN}/back", headers={"If-Match": '"3"'})
    assert back.json()["drawn"] is True
    assert 'width="7"' in (await boss.get(f"{PLAN}.svg")).text


async def test_what_could_act_is_refused_at_its_field(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    said = problem(await boss.put(PLAN, json={"svg": DRAWN.replace("<rect", "<script/><rect")}), 422)
    assert said["errors"][0]["pointer"] == "/body/svg"
    assert "<script>" in said["errors"][0]["detail"]


async def test_a_plan_is_of_its_estate_and_changed_by_who_keeps_the_register(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await boss.put(PLAN, json={"svg": DRAWN})
    li, other = await world.person("li"), await world.person("other", "community_manager", ("e2",))
    assert (await li.get(f"{PLAN}.svg")).status_code == 200
    problem(await li.put(PLAN, json={"svg": DRAWN}, headers={"If-Match": '"1"'}), 403)
    problem(await other.get(f"{PLAN}.svg"), 404)
    problem(await other.put(PLAN, json={"svg": DRAWN}), 404)
