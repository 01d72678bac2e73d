"""An estate's outage is one alert with its residents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from api.escalation.worker import Escalator
from tests.integration.api.conftest import LINK_KEY, problem
from vigil.store.seed import put_rows

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
MANY = 60


@dataclass
class Estate:
    """An estate of two boxes; each resident has a pendant at the first, one of them one at the second too."""

    world: World
    worker: Escalator
    officer: httpx.AsyncClient

    async def goes(self, node: str, *, online: bool) -> None:
        async with self.world.pool.connection() as connection:
            await connection.execute(
                "UPDATE node SET online = %s, seen_at = %s WHERE id = %s", [online, self.world.clock(), node]
            )

    async def look(self, seconds: int = 31) -> list[dict[str, Any]]:
        """Let time pass and the escalator look; returns the open outages."""
        self.world.clock.move(seconds=seconds)
        await self.worker.watch_nodes()
        shown = (await self.officer.get("/api/v1/alerts")).json()["alerts"]
        return [alert for alert in shown if alert["kind"] == "outage"]

    async def unwatched(self, alert: UUID) -> set[str]:
        page = (await self.officer.get(f"/api/v1/alerts/{alert}/residents")).json()
        return {one["resident"] for one in page["items"] if one["until"] is None}


@pytest_asyncio.fixture
async def estate(world: World) -> Estate:
    people = [f"p{n:03}" for n in range(MANY)]
    tables: dict[str, list[dict[str, Any]]] = {
        "node": [{"id": node, "estate": "e1", "online": True} for node in ("n1", "n2")],
        "device": [
            *({"id": f"d-{person}", "node": "n1", "kind": "pendant"} for person in people),
            {"id": "d2", "node": "n2", "kind": "pendant"},
        ],
        "resident": [{"id": person, "estate": "e1", "name": person, "flagged": True} for person in people],
        "assignment": [
            *({"device": f"d-{person}", "resident": person} for person in people),
            {"device": "d2", "resident": "p000"},
        ],
    }
    async with world.pool.transaction() as connection:
        await put_rows(connection, tables)
    worker = Escalator(world.pool, world.sender, world.clock, LINK_KEY, world.url)
    return Estate(world, worker, await world.person("li"))


async def test_an_outage_is_one_trouble_alert_with_everybody_whom_nothing_watches_over(
    estate: Estate,
) -> None:
    await estate.goes("n1", online=False)
    for _ in range(3):
        (alert,) = await estate.look()
    assert (alert["priority"], alert["evidence"]) == ("trouble", 1)
    assert f"{MANY - 1} residents" in alert["summary"]["en"]
    assert await estate.unwatched(alert["id"]) == {f"p{n:03}" for n in range(1, MANY)}


async def test_a_second_box_joins_the_same_alert_and_its_residents_the_list(estate: Estate) -> None:
    await estate.goes("n1", online=False)
    await estate.look()
    await estate.goes("n2", online=False)
    (alert,) = await estate.look()
    assert alert["evidence"] == 2
    assert "p000" in await estate.unwatched(alert["id"])


async def test_who_is_heard_again_is_marked_so_and_the_alert_stays_until_somebody_closes_it(
    estate: Estate,
) -> None:
    await estate.goes("n1", online=False)
    await estate.look()
    await estate.goes("n1", online=True)
    (alert,) = await estate.look()
    assert await estate.unwatched(alert["id"]) == set()
    await estate.goes("n1", online=False)
    (again,) = await estate.look()
    assert again["id"] == alert["id"]
    assert len(await estate.unwatched(alert["id"])) == MANY - 1


async def test_a_box_that_restarts_and_a_box_that_watches_over_nobody_else_raise_nothing(
    estate: Estate,
) -> None:
    await estate.goes("n1", online=False)
    assert await estate.look(seconds=29) == []
    await estate.goes("n1", online=True)
    await estate.goes("n2", online=False)
    assert await estate.look() == []


async def test_a_canarys_node_is_the_watchdogs_care(estate: Estate) -> None:
    async with estate.world.pool.connection() as connection:
        await connection.execute("UPDATE node SET synthetic = 'canary' WHERE id = 'n1'")
    await estate.goes("n1", online=False)
    assert await estate.look() == []


@pytest.mark.trust
async def test_the_list_is_for_who_looks_after_the_estate_and_every_look_is_on_record(estate: Estate) -> None:
    await estate.goes("n1", online=False)
    (alert,) = await estate.look()
    url = f"/api/v1/alerts/{alert['id']}/residents"
    far = await estate.world.person("far", estates=("e2",))
    problem(await far.get(url), 404)
    ops = await estate.world.person("ops", "ops")
    problem(await ops.get(url), 403)
    assert len((await estate.officer.get(url, params={"limit": 10})).json()["items"]) == 10
    async with estate.world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM access_log WHERE what = %s", [f"alert:{alert['id']}"]
        )
        assert await cursor.fetchone() == (10,)


async def test_boxes_that_go_at_the_same_time_are_still_one_alert(estate: Estate) -> None:
    await estate.goes("n1", online=False)
    await estate.goes("n2", online=False)
    (alert,) = await estate.look()
    assert alert["evidence"] == 2
