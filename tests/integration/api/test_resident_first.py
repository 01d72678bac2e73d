"""The resident is asked whether all is well: by a call, a page, or the hub's button."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from api.escalation.worker import Escalator
from tests.integration.api.conftest import LINK_KEY, problem
from tests.integration.api.test_escalation import Night, Routes
from vigil.alerts import Priority
from vigil.events import derived_id
from vigil.store import accounts, escalation
from vigil.store.accounts import NewAccount

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
GATEWAY = "json://localhost/call?to={phone}"
CALL = "json://localhost/call?to=13900000001"
POLICY = {
    "name": "ask",
    "priority": "high",
    "ask": {"within_s": 45, "first": True},
    "steps": [{"wait_s": 0, "target": "officers", "channel": "message"}],
}


@pytest_asyncio.fixture
async def night(world: World) -> Night:
    boss = await world.person("boss", "community_manager")
    assert (await boss.post("/api/v1/policies", json=POLICY)).status_code == 201
    now = world.clock()
    async with world.pool.transaction() as connection:
        await accounts.put_account(connection, NewAccount("li", "Li", "duty_officer", ("*",)), None)
        for position, channel in enumerate(("message", "voice")):
            await escalation.put_contact(connection, "li", position, channel, f"{channel}://li", now)
        await escalation.add_shift(connection, "li", "officer", now, now + timedelta(hours=12))
    routes = Routes()
    worker = Escalator(world.pool, routes, world.clock, LINK_KEY, world.url, resident_url=GATEWAY)
    return Night(world, routes, worker)


async def asked(night: Night, priority: Priority = Priority.HIGH) -> tuple[UUID, str]:
    """Raise an alert that asks the resident; returns it and the link that was offered."""
    alert = await night.world.raise_alert(priority=priority, kind="stillness")
    await night.work()
    assert night.told == [CALL]
    return alert, night.routes.sent[0][1].body.partition("：")[2]


async def say(link: str, answer: str) -> httpx.Response:
    async with httpx.AsyncClient() as phone:
        return await phone.post(link, data={"answer": answer})


async def test_no_answer_goes_on_to_the_officers_after_the_limit(night: Night) -> None:
    await asked(night)
    await night.wait(44)
    assert night.told == [CALL]
    await night.wait(2)
    assert night.told == [CALL, "message://li"]


async def test_i_am_fine_closes_it_in_the_residents_name_and_nobody_is_disturbed(night: Night) -> None:
    alert, link = await asked(night)
    async with httpx.AsyncClient() as phone:
        assert "我没事" in (await phone.get(link)).text
    assert await night.state(alert) == "notifying"  # opening the page has changed nothing
    assert (await say(link, "fine")).status_code == 200
    await night.wait(60)
    assert night.told == [CALL]
    assert await night.state(alert) == "resolved"
    officer = await night.world.person("li")
    last = (await officer.get(f"/api/v1/alerts/{alert}")).json()["transitions"][-1]
    assert (last["actor"], last["reason"]) == ("resident:r1", "says to be fine")


async def test_i_need_help_calls_the_officers_at_once(night: Night) -> None:
    _, link = await asked(night)
    assert "马上有人来帮您" in (await say(link, "help")).text
    await night.work()
    assert night.told == [CALL, "message://li"]


@pytest.mark.parametrize(("answer", "state"), [("fine", "resolved"), ("help", "notifying")])
async def test_the_button_at_the_hub_is_an_answer_too(night: Night, answer: str, state: str) -> None:
    alert, _ = await asked(night)
    night.world.clock.move(seconds=5)
    now = night.world.clock()
    async with night.world.pool.connection() as connection:
        await connection.execute("INSERT INTO node (id, estate) VALUES ('n1', 'e1')")
        await connection.execute("INSERT INTO device (id, node, kind) VALUES ('hub1', 'n1', 'hub')")
        await connection.execute("INSERT INTO assignment (device, resident) VALUES ('hub1', 'r1')")
        await connection.execute(
            """
            INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
            VALUES (%s, %s, 'n1', 'hub1', 'vigil.alarm.answer.v1', '1-a', 'alarm', 1, %s, 'synced', %s)
            """,
            [now, derived_id("answer", answer), now, Jsonb({"answer": answer})],
        )
    await night.wait(45)
    assert await night.state(alert) == state
    assert ("message://li" in night.told) == (answer == "help")


async def test_a_gateway_that_fails_holds_nobody_up(night: Night) -> None:
    night.routes.broken = {CALL}
    await night.world.raise_alert(priority=Priority.HIGH, kind="stillness")
    await night.work()
    await night.wait(46)
    assert night.told == ["message://li"]


async def test_without_a_gateway_the_alert_goes_on_all_the_same(night: Night) -> None:
    mute = Night(night.world, night.routes, replace(night.worker, resident_url=None))
    await mute.world.raise_alert(priority=Priority.HIGH, kind="stillness")
    await mute.work()
    await mute.wait(46)
    assert mute.told == ["message://li"]


@pytest.mark.trust
async def test_a_residents_link_takes_no_alert_and_an_officers_answers_for_no_resident(night: Night) -> None:
    _, link = await asked(night)
    assert (await say(link.replace("/answer/", "/take/"), "fine")).status_code == 410
    await night.wait(46)
    take = night.routes.sent[-1][1].body.split()[-1].removeprefix("点此接手：")
    assert (await say(take.replace("/take/", "/answer/"), "fine")).status_code == 410


async def test_a_policy_lets_no_critical_alert_wait_for_the_resident(night: Night) -> None:
    boss = await night.world.person("boss", "community_manager")
    critical = POLICY | {"name": "c", "priority": "critical"}
    problem(await boss.post("/api/v1/policies", json=critical), 422)
    step = {"wait_s": 0, "target": "resident", "channel": "voice"}
    problem(await boss.post("/api/v1/policies", json=POLICY | {"name": "d", "steps": [step]}), 422)
