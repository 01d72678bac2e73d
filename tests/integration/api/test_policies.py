"""Policies, helpers and silences over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.escalation.worker import Escalator
from tests.integration.api.conftest import LINK_KEY, problem

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
NIGHT: dict[str, Any] = {
    "name": "night",
    "priority": "critical",
    "steps": [{"wait_s": 0, "target": "supervisor", "channel": "voice"}],
}
BODY = {name: value for name, value in NIGHT.items() if name != "name"}


async def test_a_policy_has_versions_and_the_newest_applies_to_the_next_alert(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    made = await boss.post("/api/v1/policies", json=NIGHT)
    assert made.status_code == 201, made.text
    changed = await boss.put(
        "/api/v1/policies/night",
        json=BODY | {"attend_within_s": 300},
        headers={"If-Match": made.headers["ETag"]},
    )
    assert changed.json()["version"] == 2
    problem(await boss.put("/api/v1/policies/night", json=BODY, headers={"If-Match": '"1"'}), 412)
    versions = (await boss.get("/api/v1/policies/night/versions")).json()["items"]
    assert [(v["version"], v["attend_within_s"]) for v in versions] == [(2, 300.0), (1, 600.0)]
    assert (await policy_of_a_new_alert(world))["attend_within_s"] == 300


async def policy_of_a_new_alert(world: World) -> dict[str, Any]:
    alert = await world.raise_alert()
    worker = Escalator(world.pool, world.sender, world.clock, LINK_KEY, world.url)
    while await worker.plan_one():
        pass
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT policy FROM escalation WHERE alert = %s", [alert])
        ((policy,),) = await cursor.fetchall()
    found: dict[str, Any] = policy
    return found


async def test_a_retired_policy_applies_no_longer_and_its_name_may_be_used_again(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await boss.post("/api/v1/policies", json=NIGHT)
    problem(await boss.post("/api/v1/policies", json=NIGHT), 409)
    assert (await boss.delete("/api/v1/policies/night", headers={"If-Match": '"1"'})).status_code == 204
    problem(await boss.get("/api/v1/policies/night"), 404)
    assert (await policy_of_a_new_alert(world))["name"] == "critical"
    assert (await boss.post("/api/v1/policies", json=NIGHT)).json()["version"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": [{"wait_s": 30, "target": "officers", "channel": "voice"}]},
        {"steps": [{"wait_s": 0, "target": "officers", "channel": "console"}]},
        {"from_hour": 22},
        {"again_every_s": 1},
    ],
)
async def test_a_policy_that_would_let_somebody_wait_is_refused(world: World, change: dict[str, Any]) -> None:
    boss = await world.person("boss", "community_manager")
    problem(await boss.post("/api/v1/policies", json=NIGHT | change), 422)


@pytest.mark.trust
async def test_a_manager_of_one_estate_writes_policies_for_that_estate_alone(world: World) -> None:
    boss = await world.person("boss", "community_manager", ("e1",))
    problem(await boss.post("/api/v1/policies", json=NIGHT), 403)
    problem(await boss.post("/api/v1/policies", json=NIGHT | {"estate": "e2"}), 403)
    assert (await boss.post("/api/v1/policies", json=NIGHT | {"estate": "e1"})).status_code == 201
    far = await world.person("far", "community_manager", ("e2",))
    problem(await far.get("/api/v1/policies/night"), 404)
    assert (await far.get("/api/v1/policies")).json()["items"] == []


async def test_the_built_in_policies_can_be_read(world: World) -> None:
    officer = await world.person("li")
    shown = (await officer.get("/api/v1/policies/built-in")).json()
    assert [one["priority"] for one in shown] == ["critical", "high", "medium", "trouble"]


async def test_who_has_a_key_is_written_down_and_read_by_the_roster_and_the_look_is_on_record(
    world: World,
) -> None:
    sun, li = await world.person("sun", "supervisor"), await world.person("li")
    helpers = {
        "key_holders": [{"name": "张伟", "phone": "13900000002", "relation": "son"}],
        "family": [],
        "note": "Hard of hearing; ring twice",
    }
    seen = await li.get("/api/v1/residents/r1/helpers")
    problem(await li.put("/api/v1/residents/r1/helpers", json=helpers, headers={"If-Match": '"1"'}), 403)
    put = await sun.put(
        "/api/v1/residents/r1/helpers", json=helpers, headers={"If-Match": seen.headers["ETag"]}
    )
    assert put.status_code == 200, put.text
    assert (await li.get("/api/v1/residents/r1/helpers")).json()["key_holders"][0]["name"] == "张伟"
    async with world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT actor, what FROM access_log WHERE resident = 'r1' ORDER BY id"
        )
        assert [tuple(row) for row in await cursor.fetchall()] == [
            ("person:li", "helpers"),
            ("person:sun", "helpers changed"),
            ("person:li", "helpers"),
        ]


@pytest.mark.trust
async def test_residents_of_other_estates_and_robots_see_no_helpers(world: World) -> None:
    far = await world.person("far", "supervisor", ("e2",))
    problem(await far.get("/api/v1/residents/r1/helpers"), 404)
    assert (await far.get("/api/v1/residents")).json()["items"] == []
    robot = await world.robot("reader-1", "reader")
    problem(await robot.get("/api/v1/residents"), 403)


async def test_what_rests_is_listed_with_who_said_so_and_why(world: World) -> None:
    li = await world.person("li")
    alert = await world.raise_alert()
    body = {"version": 1, "minutes": 30, "reason": "roof works"}
    assert (await li.post(f"/api/v1/alerts/{alert}/silence", json=body)).status_code == 200
    (found,) = (await li.get("/api/v1/silences")).json()["items"]
    assert (found["alert"], found["actor"], found["reason"]) == (str(alert), "person:li", "roof works")
