"""Drills as the platform knows them: who may run one, and that it pages nobody outside of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem
from tests.integration.api.test_escalation import Night, night

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

__all__ = ["night"]  # the fixture of escalation's tests: two officers, a supervisor and a worker
pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


def body(begins: datetime, minutes: float = 30, **changed: Any) -> dict[str, Any]:
    ends = begins + timedelta(minutes=minutes)
    facts = {"estate": "e1", "kind": "component", "scenario": "Kafka gone"}
    return facts | {"starts_at": begins.isoformat(), "ends_at": ends.isoformat()} | changed


async def watchdog(world: World) -> httpx.AsyncClient:
    return await world.robot("watchdog", "watchdog")


async def test_a_drill_event_outside_a_drill_is_shown_and_pages_nobody(night: Night) -> None:
    alert = await night.world.raise_alert(synthetic="drill")
    await night.wait(200)
    assert night.told == []
    assert await night.state(alert) == "raised"


async def test_a_drill_event_pages_like_the_real_thing_while_its_estate_has_a_drill(night: Night) -> None:
    robot = await watchdog(night.world)
    (await robot.put("/api/v1/drills/w-1", json=body(night.world.clock()))).raise_for_status()
    await night.world.raise_alert(synthetic="drill")
    await night.world.raise_alert(synthetic="drill", estate="e2")
    await night.work()
    assert sorted(night.told) == ["message://li", "message://zhao"]
    assert all("Drill" in message.title or "演练" in message.title for _, message in night.routes.sent)


async def test_a_drill_ends_by_itself_and_its_alerts_are_silent_from_then_on(night: Night) -> None:
    robot = await watchdog(night.world)
    (await robot.put("/api/v1/drills/w-1", json=body(night.world.clock(), minutes=1))).raise_for_status()
    await night.world.raise_alert(synthetic="drill")
    await night.wait(59)
    told = len(night.told)
    await night.wait(600)
    assert len(night.told) == told
    (drill,) = (await robot.get("/api/v1/drills")).json()
    assert not drill["on"]


async def test_a_notice_that_waits_when_the_drill_ends_is_not_sent(night: Night) -> None:
    robot = await watchdog(night.world)
    (await robot.put("/api/v1/drills/w-1", json=body(night.world.clock()))).raise_for_status()
    alert = await night.world.raise_alert(synthetic="drill")
    await night.worker.plan_one()
    (await robot.post("/api/v1/drills/w-1/end")).raise_for_status()
    await night.work()
    assert night.told == []
    assert {notice.ended for notice in await night.notices(alert)} == {"no_drill"}


async def test_evidence_that_is_real_makes_a_drills_alert_page_although_no_drill_is_on(night: Night) -> None:
    await night.world.raise_alert("resident:7", synthetic="drill")
    await night.work()
    assert night.told == []
    await night.world.raise_alert("resident:7")
    await night.work()
    assert sorted(night.told) == ["message://li", "message://zhao"]


async def test_a_real_alert_pages_as_ever_while_a_drill_is_on(night: Night) -> None:
    robot = await watchdog(night.world)
    (await robot.put("/api/v1/drills/w-1", json=body(night.world.clock()))).raise_for_status()
    await night.world.raise_alert()
    await night.work()
    assert sorted(night.told) == ["message://li", "message://zhao"]
    assert not any("Drill" in message.title for _, message in night.routes.sent)


async def test_an_unannounced_drill_is_hidden_from_those_whom_it_tests_until_it_begins(world: World) -> None:
    robot, li = await watchdog(world), await world.person("li")
    begins = world.clock() + timedelta(minutes=10)
    (await robot.put("/api/v1/drills/w-1", json=body(begins, kind="unannounced"))).raise_for_status()
    assert (await li.get("/api/v1/drills")).json() == []
    assert len((await robot.get("/api/v1/drills")).json()) == 1
    world.clock.move(minutes=10)
    assert [drill["on"] for drill in (await li.get("/api/v1/drills")).json()] == [True]


async def test_a_drill_is_written_anew_by_its_id_and_ends_once(world: World) -> None:
    robot = await watchdog(world)
    for minutes in (30, 60):
        (await robot.put("/api/v1/drills/w-1", json=body(world.clock(), minutes))).raise_for_status()
    first = (await robot.post("/api/v1/drills/w-1/end")).json()
    world.clock.move(minutes=5)
    again = (await robot.post("/api/v1/drills/w-1/end")).json()
    assert (first["on"], first["ended_at"]) == (False, again["ended_at"])
    assert len((await robot.get("/api/v1/drills")).json()) == 1


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"estate": "nowhere"}, 404),
        ({"kind": "test"}, 422),
        ({"ends_at": "2026-03-01T19:00:00Z"}, 422),
        ({"ends_at": "2026-03-03T19:00:00Z"}, 422),
    ],
)
async def test_a_drill_that_cannot_be_is_refused(world: World, changed: dict[str, Any], status: int) -> None:
    robot = await watchdog(world)
    asked = await robot.put("/api/v1/drills/w-1", json=body(world.clock(), **changed))
    problem(asked, status)


async def test_leaders_run_drills_and_those_who_are_tested_do_not(world: World) -> None:
    sun, li = await world.person("sun", "supervisor", ("e1",)), await world.person("li")
    assert (await sun.put("/api/v1/drills/s-1", json=body(world.clock()))).status_code == 200
    elsewhere = await sun.put("/api/v1/drills/s-2", json=body(world.clock(), estate="e2"))
    moved = await sun.post("/api/v1/drills/nothing/end")
    refused = await li.put("/api/v1/drills/l-1", json=body(world.clock()))
    assert (elsewhere.status_code, moved.status_code, refused.status_code) == (404, 404, 403)


async def test_a_drill_is_not_moved_to_another_estate(world: World) -> None:
    robot = await watchdog(world)
    (await robot.put("/api/v1/drills/w-1", json=body(world.clock()))).raise_for_status()
    assert (await robot.put("/api/v1/drills/w-1", json=body(world.clock(), estate="e2"))).status_code == 409
