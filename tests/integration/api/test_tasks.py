"""Grid workers are sent to doors, and the street's centre is asked for help."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from api.escalation.worker import Escalator
from tests.integration.api.conftest import LINK_KEY, problem
from vigil.store import escalation

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
HELPERS = {"key_holders": [{"name": "张伟", "phone": "13900000002"}], "note": "Ring twice"}


@dataclass
class Evening:
    """An officer, the grid worker of building 3, another one, and an alert about its resident."""

    world: World
    officer: httpx.AsyncClient
    worker: httpx.AsyncClient
    other: httpx.AsyncClient
    alert: UUID

    async def give(self, **body: Any) -> str:
        """Give the task; returns its address."""
        made = await self.officer.post(f"/api/v1/alerts/{self.alert}/tasks", json=body)
        assert made.status_code == 201, made.text
        return made.headers["Location"]

    async def say(self, who: httpx.AsyncClient, task: str, what: str, **more: Any) -> httpx.Response:
        """Report, on the version as it stands."""
        etag = (await who.get(task)).headers["ETag"]
        if what in ("accept", "withdraw"):
            return await who.post(f"{task}/{what}", headers={"If-Match": etag})
        return await who.post(f"{task}/report", json={"what": what, **more}, headers={"If-Match": etag})

    async def alert_state(self) -> str:
        found: str = (await self.officer.get(f"/api/v1/alerts/{self.alert}")).json()["state"]
        return found

    async def work(self) -> None:
        """Let the escalator send what is due."""
        escalator = Escalator(self.world.pool, self.world.sender, self.world.clock, LINK_KEY, self.world.url)
        while await escalator.plan_one() or await escalator.send_one():
            pass

    def told(self) -> list[str]:
        return [url for url, message in self.world.sent if "请上门查看" in message.title]


@pytest_asyncio.fixture
async def evening(world: World) -> Evening:
    boss = await world.person("boss", "community_manager")
    officer = await world.person("li")
    worker, other = (
        await world.person("chen", "grid_worker", ("e1",)),
        await world.person("ding", "grid_worker", ("e1",)),
    )
    beat = {"buildings": [{"estate": "e1", "building": "3号楼"}]}
    assert (await boss.put("/api/v1/accounts/chen/beat", json=beat)).status_code == 200
    put = await boss.put("/api/v1/residents/r1/helpers", json=HELPERS, headers={"If-Match": '"1"'})
    assert put.status_code == 200, put.text
    now = world.clock()
    async with world.pool.connection() as connection:
        for account in ("chen", "ding"):
            await escalation.put_contact(connection, account, 0, "message", f"message://{account}", now)
            await escalation.add_shift(connection, account, "grid_worker", now, now + timedelta(hours=12))
    return Evening(world, officer, worker, other, await world.raise_alert())


async def test_the_worker_of_the_building_is_asked_and_finds_door_key_and_note(evening: Evening) -> None:
    task = await evening.give(note="look whether she can stand")
    await evening.work()
    assert evening.told() == ["message://chen"]
    found = (await evening.worker.get(task)).json()
    assert (found["account"], found["stage"], found["home"]) == ("chen", "knock", "2单元 401")
    assert found["helpers"]["key_holders"][0]["phone"] == "13900000002"
    assert found["helpers"]["note"] == "Ring twice"


async def test_a_task_is_asked_for_also_when_the_officer_has_the_alert_until_it_is_accepted(
    evening: Evening,
) -> None:
    await evening.officer.post(f"/api/v1/alerts/{evening.alert}/acknowledge", json={"version": 1})
    task = await evening.give()
    await evening.work()
    assert evening.told() == ["message://chen"]
    accepted = await evening.say(evening.worker, task, "accept")
    assert accepted.json()["state"] == "accepted"
    async with evening.world.pool.connection() as connection:
        await connection.execute("UPDATE notice SET sent_at = NULL WHERE task IS NOT NULL")
    await evening.work()
    assert evening.told() == ["message://chen"]


async def test_seen_well_is_on_the_alert_and_closes_it_in_the_same_tap_if_said_so(evening: Evening) -> None:
    task = await evening.give()
    done = await evening.say(evening.worker, task, "seen_well", alert_outcome="false")
    assert (done.json()["state"], done.json()["outcome"]) == ("done", "seen_well")
    detail = (await evening.officer.get(f"/api/v1/alerts/{evening.alert}")).json()
    assert (detail["state"], detail["outcome"], detail["holder"]["actor"]) == (
        "resolved",
        "false",
        "person:chen",
    )


async def test_nobody_answers_then_the_key_holder_then_the_emergency_services(evening: Evening) -> None:
    task = await evening.give()
    for stage in ("key_holder", "emergency"):
        assert (await evening.say(evening.worker, task, "no_answer")).json()["stage"] == stage
    assert await evening.alert_state() in ("raised", "notifying")
    called = await evening.say(evening.worker, task, "emergency_called", note="120 at 20:14")
    assert called.json()["outcome"] == "emergency"
    said = [one["what"] for one in (await evening.officer.get(task)).json()["reports"]]
    assert said == ["given", "no_answer", "no_answer", "emergency_called"]


async def test_who_is_with_somebody_in_need_has_the_alert_attended(evening: Evening) -> None:
    task = await evening.give()
    await evening.say(evening.worker, task, "needs_help")
    assert await evening.alert_state() == "attending"


async def test_one_pair_of_feet_goes_to_one_door(evening: Evening) -> None:
    url = f"/api/v1/alerts/{evening.alert}/tasks"
    answers = await asyncio.gather(*(evening.officer.post(url, json={}) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_the_worker_reports_and_the_giver_withdraws_and_nobody_else(evening: Evening) -> None:
    task = await evening.give()
    problem(await evening.say(evening.other, task, "seen_well"), 403)
    problem(await evening.say(evening.worker, task, "withdraw"), 403)
    problem(await evening.officer.post(f"{task}/withdraw"), 428)
    problem(await evening.officer.post(f"{task}/withdraw", headers={"If-Match": '"7"'}), 412)
    assert (await evening.say(evening.officer, task, "withdraw")).json()["state"] == "withdrawn"
    problem(await evening.say(evening.worker, task, "seen_well"), 409)
    assert await evening.give(account="ding") != task


async def test_a_task_goes_to_nobody_who_does_not_look_after_the_estate(evening: Evening) -> None:
    await evening.world.person("far", "grid_worker", ("e2",))
    url = f"/api/v1/alerts/{evening.alert}/tasks"
    problem(await evening.officer.post(url, json={"account": "far"}), 422)
    problem(await evening.officer.post(url, json={"account": "nobody"}), 404)


async def test_open_tasks_are_listed_for_who_they_are_for(evening: Evening) -> None:
    task = await evening.give()
    mine = (await evening.worker.get("/api/v1/tasks", params={"mine": True})).json()["items"]
    assert [f"/api/v1/tasks/{one['id']}" for one in mine] == [task]
    assert (await evening.other.get("/api/v1/tasks", params={"mine": True})).json()["items"] == []
    far = await evening.world.person("far", "supervisor", ("e2",))
    assert (await far.get("/api/v1/tasks")).json()["items"] == []
    problem(await far.get(task), 404)


async def street(evening: Evening) -> httpx.AsyncClient:
    centre = await evening.world.person("street", "street_centre")
    async with evening.world.pool.connection() as connection:
        await escalation.put_contact(
            connection, "street", 0, "voice", "voice://street", evening.world.clock()
        )
    return centre


async def test_the_streets_centre_is_called_and_given_everything_that_is_known(evening: Evening) -> None:
    centre = await street(evening)
    task = await evening.give()
    await evening.say(evening.worker, task, "no_answer", note="dark, dog barks")
    made = await evening.officer.post(f"/api/v1/alerts/{evening.alert}/hand-up", json={"reason": "no key"})
    assert made.status_code == 201, made.text
    await evening.work()
    assert "voice://street" in [url for url, message in evening.world.sent if "上报街道" in message.title]
    document = (await centre.get(made.headers["Location"])).json()["document"]
    assert document["alert"]["resident"]["name"] == "王秀英"
    assert document["alert"]["detections"]
    assert document["helpers"]["key_holders"][0]["name"] == "张伟"
    assert document["tasks"][0]["reports"][-1]["note"] == "dark, dog barks"
    assert document["notices"]


async def test_the_first_of_the_centre_has_it_and_the_second_sees_who(evening: Evening) -> None:
    centre = await street(evening)
    url = f"/api/v1/alerts/{evening.alert}/hand-up"
    made = await evening.officer.post(url, json={"reason": "no key"})
    problem(await evening.officer.post(url, json={"reason": "again"}), 409)
    take = f"{made.headers['Location']}/take"
    problem(await evening.officer.post(take), 403)
    assert (await centre.post(take)).json()["taken_by"] == "person:street"
    assert (await centre.post(take)).status_code == 200
    second = await evening.world.person("street2", "street_centre")
    assert problem(await second.post(take), 409)["holder"] == "person:street"


async def test_without_a_centre_handing_up_says_so(evening: Evening) -> None:
    url = f"/api/v1/alerts/{evening.alert}/hand-up"
    assert problem(await evening.officer.post(url, json={"reason": "x"}), 422)["type"].endswith("nobody")
