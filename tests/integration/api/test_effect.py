"""Burden and effect from real rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from api.effect import look_at_day
from api.escalation.worker import Escalator
from api.gauges import Looking
from tests.integration.api.conftest import LINK_KEY, problem
from vigil.store import escalation

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@dataclass
class Shift:
    """An officer on duty with an escalator at work."""

    world: World
    li: httpx.AsyncClient
    sun: httpx.AsyncClient

    async def work(self) -> None:
        worker = Escalator(self.world.pool, self.world.sender, self.world.clock, LINK_KEY, self.world.url)
        while await worker.plan_one() or await worker.send_one():
            pass

    async def live_through(self, outcome: str, answer_s: float, **alert: Any) -> None:
        """Raise an alert that the officer takes after a time, and closes a minute later."""
        url = f"/api/v1/alerts/{await self.world.raise_alert(**alert)}"
        await self.work()
        for action, wait_s, more in (
            ("acknowledge", answer_s, {}),
            ("attend", 30, {}),
            ("resolve", 30, {"outcome": outcome}),
        ):
            self.world.clock.move(seconds=wait_s)
            version = (await self.li.get(url)).json()["version"]
            done = await self.li.post(f"{url}/{action}", json={"version": version, **more})
            assert done.status_code == 200, done.text

    async def effect(self, **params: Any) -> dict[str, Any]:
        self.world.clock.move(seconds=1)
        answer = await self.sun.get("/api/v1/effect", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest_asyncio.fixture
async def shift(world: World) -> Shift:
    li, sun = await world.person("li"), await world.person("sun", "supervisor")
    now = world.clock()
    async with world.pool.connection() as connection:
        for position, channel in enumerate(("message", "voice")):
            await escalation.put_contact(connection, "li", position, channel, f"{channel}://li", now)
        await escalation.add_shift(connection, "li", "officer", now, now + timedelta(hours=12))
    return Shift(world, li, sun)


async def test_times_outcomes_precision_and_burden_of_what_happened(shift: Shift) -> None:
    for answer_s, outcome in ((5, "true"), (10, "false"), (9, "false")):
        await shift.live_through(outcome, answer_s)
    found = await shift.effect()
    assert (found["alerts"], found["resolved_true"], found["resolved_false"]) == (3, 1, 2)
    times = {one["what"]: one for one in found["times"]}
    assert times["acknowledged"]["p50_s"] == 9
    assert times["attended"]["p50_s"] == 39
    assert times["resolved"]["p50_s"] == 69
    assert found["false_per_resident_week"] == 2
    assert found["detectors"] == [{"name": "rule 1", "true": 1, "false": 2, "precision": 1 / 3}]
    assert found["devices"][0]["name"] == "d1"
    assert (found["burden"]["alarms"], found["burden"]["peak"]) == (3, 3)


async def test_repeats_are_no_further_alarms_and_what_nobody_answers_is_counted(shift: Shift) -> None:
    await shift.world.raise_alert()
    for _ in range(40):
        await shift.work()
        shift.world.clock.move(seconds=10)
    found = await shift.effect()
    assert found["burden"]["alarms"] == 1
    assert found["unanswered"] == 1


async def test_demos_and_drills_are_counted_apart_and_canaries_never(shift: Shift) -> None:
    await shift.live_through("drill", 5, synthetic="demo")
    await shift.live_through("drill", 5, synthetic="drill")
    await shift.world.raise_alert("canary:e1", synthetic="canary", resident=None)
    assert (await shift.effect())["alerts"] == 0
    assert (await shift.effect())["detectors"] == []
    assert (await shift.effect(synthetic="demo"))["alerts"] == 1
    assert (await shift.effect(synthetic="drill"))["alerts"] == 1


async def test_nothing_has_happened_is_an_answer_too(shift: Shift) -> None:
    found = await shift.effect()
    assert (found["alerts"], found["times"], found["burden"]["peak"]) == (0, [], 0)
    problem(await shift.sun.get("/api/v1/effect", params={"since": "2026-03-05T00:00:00Z"}), 422)


@pytest.mark.trust
async def test_the_figures_are_of_ones_own_estates_and_for_who_answers_for_them(shift: Shift) -> None:
    await shift.live_through("true", 5)
    far = await shift.world.person("far", "supervisor", ("e2",))
    assert (await far.get("/api/v1/effect")).json()["alerts"] == 0
    problem(await shift.li.get("/api/v1/effect"), 403)


async def test_the_figures_of_the_last_day_are_metrics(shift: Shift) -> None:
    await shift.live_through("true", 7)
    await Looking(shift.world.pool, shift.world.clock, 1, look_at_day).once()
    labels = {"what": "acknowledged", "quantile": "0.5"}
    assert REGISTRY.get_sample_value("vigil_alert_seconds", labels) == 7
    assert REGISTRY.get_sample_value("vigil_alerts_day", {"what": "resolved_true"}) == 1
    assert REGISTRY.get_sample_value("vigil_detector_precision", {"model": "rule 1"}) == 1


async def test_hour_by_hour_the_same_alerts_are_counted_by_how_soon_they_came_how_far(shift: Shift) -> None:
    await shift.live_through("true", 10)
    await shift.live_through("false", 100)
    for _ in range(6):  # whoever is away for too long has to sign in again
        shift.world.clock.move(minutes=10)
        for client in (shift.li, shift.sun):
            assert (await client.get("/api/v1/session")).status_code == 200
    await shift.live_through("true", 10)
    await shift.live_through("drill", 10, synthetic="drill")
    day = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
    hours, more = [], dict[str, str]()
    while True:
        page = await shift.sun.get("/api/v1/effect/hourly", params=day | {"limit": "3"} | more)
        assert page.status_code == 200, page.text
        hours += page.json()["items"]
        if page.json()["next"] is None:
            break
        more = {"cursor": page.json()["next"]}
    found = {(one["hour"][11:13], one["what"]): one for one in hours}
    assert len(found) == len(hours)
    assert found.keys() >= {("20", "acknowledged"), ("21", "resolved")}
    taken = found["20", "acknowledged"]
    assert (taken["alerts"], taken["within_60s"], taken["within_180s"]) == (2, 1, 2)
    assert (taken["seconds_mean"], taken["seconds_max"]) == (55, 100)
    assert found["21", "resolved"]["alerts"] == 1
    assert {what for hour, what in found if hour == "21"} == {
        "raised",
        "acknowledged",
        "attended",
        "resolved",
    }
    problem(await shift.li.get("/api/v1/effect/hourly"), 403)


async def test_only_the_first_time_counts_and_each_opening_anew_does(shift: Shift) -> None:
    alert = await shift.world.raise_alert()
    await shift.work()
    for _ in range(2):
        version = (await shift.li.get(f"/api/v1/alerts/{alert}")).json()["version"]
        await shift.li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": version})
        await shift.work()
        shift.world.clock.move(minutes=20)
        await shift.work()
    async with shift.world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT what, count(*) FROM alert_step WHERE alert = %s AND what IN ('acknowledged', 'reopened') GROUP BY 1",
            [alert],
        )
        assert dict(await cursor.fetchall()) == {"acknowledged": 1, "reopened": 2}
