"""Who may alert, what was missed, and the figures of real life, as people ask and say them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem
from vigil.modes import Live
from vigil.registry import Registry
from vigil.store.registry import refresh

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
VERSION = "9c4b4b27f7f3"


async def live(world: World, estate: str = "e1", *there: str) -> Live | None:
    """Return which version processors let alert."""
    registry = Registry()
    async with world.pool.connection() as connection:
        await refresh(connection, registry)
    return registry.modes.live("falls-waist", there or (VERSION,), "c", estate)


async def say(client: httpx.AsyncClient, mode: str, **more: Any) -> httpx.Response:
    body = {"version": VERSION, "mode": mode, "reason": "four weeks in shadow", **more}
    return await client.post("/api/v1/detectors/falls-waist/modes", json=body)


async def missed(client: httpx.AsyncClient, world: World, **more: Any) -> httpx.Response:
    now = world.clock()
    body = {
        "estate": "e1",
        "resident": "r1",
        "happened_at": (now - timedelta(hours=5)).isoformat(),
        "found_at": (now - timedelta(hours=1)).isoformat(),
        "how_found": "family",
        **more,
    }
    return await client.post("/api/v1/misses", json=body)


async def test_a_manager_lets_a_version_alert_with_a_name_and_a_reason(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    said = await say(boss, "alert", review_by=(world.clock() + timedelta(days=30)).isoformat())
    assert said.status_code == 201, said.text
    assert (said.json()["actor"], said.json()["current"]) == ("person:boss", True)
    assert await live(world) == Live(VERSION)
    world.clock.move(days=365)
    assert await live(world) == Live(VERSION)  # that the date for review has passed ends no protection


async def test_a_version_is_put_into_shadow_in_one_estate_alone(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await say(boss, "alert")
    assert (await say(boss, "shadow", estate="e1", reason="false alarms at noon")).status_code == 201
    assert await live(world, "e2") == Live(VERSION)
    # The tests' own word lets any version alert, so one that is there stands in.
    assert await live(world, "e1") == Live(VERSION, stands_in=True)


async def test_who_has_some_estates_speaks_of_those_and_officers_of_none(world: World) -> None:
    boss = await world.person("boss", "community_manager", ("e1",))
    problem(await say(boss, "shadow"), 403)
    problem(await say(boss, "shadow", estate="e2"), 404)
    assert (await say(boss, "shadow", estate="e1")).status_code == 201
    problem(await say(await world.person("li"), "alert", estate="e1"), 403)


async def test_a_word_needs_a_reason_and_a_detector_that_there_is(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    problem(await say(boss, "alert", reason=" "), 422)
    body = {"version": "1", "mode": "alert", "reason": "why not"}
    problem(await boss.post("/api/v1/detectors/horoscope/modes", json=body), 422)


async def test_a_miss_counts_into_sensitivity_until_it_is_withdrawn(world: World) -> None:
    li, sun = await world.person("li"), await world.person("sun", "supervisor")
    url = f"/api/v1/alerts/{await world.raise_alert(resident='r1')}"
    for action, more in (("acknowledge", {}), ("attend", {}), ("resolve", {"outcome": "true"})):
        version = (await li.get(url)).json()["version"]
        assert (await li.post(f"{url}/{action}", json={"version": version, **more})).status_code == 200
    made = await missed(li, world)
    assert made.status_code == 201, made.text
    assert made.json()["cause"] == "no_device"
    world.clock.move(seconds=1)
    fall = (await sun.get("/api/v1/detectors")).json()["real_world"][0]
    assert (fall["kind"], fall["true"], fall["missed"], fall["sensitivity"]) == ("fall", 1, 1, 0.5)
    assert fall["precision"] == 1
    withdraw = f"/api/v1/misses/{made.json()['id']}/withdraw"
    problem(await li.post(withdraw, json={"why": "she sat down"}), 403)
    assert (await sun.post(withdraw, json={"why": "she sat down"})).status_code == 200
    fall = (await sun.get("/api/v1/detectors")).json()["real_world"][0]
    assert (fall["missed"], fall["sensitivity"]) == (0, 1.0)
    (kept,) = (await sun.get("/api/v1/misses")).json()["items"]
    assert kept["withdrawn_by"] == "person:sun"


async def test_misses_come_in_pages_the_latest_first(world: World) -> None:
    sun, now = await world.person("sun", "supervisor"), world.clock()
    for hours in (5, 9, 9, 20):  # two of them at the same moment
        made = await missed(sun, world, happened_at=(now - timedelta(hours=hours)).isoformat())
        assert made.status_code == 201, made.text
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await sun.get("/api/v1/misses", params={"limit": "1", **cursor})).json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    whole = (await sun.get("/api/v1/misses")).json()["items"]
    assert seen == [one["id"] for one in whole]
    assert len(set(seen)) == 4
    problem(await sun.get("/api/v1/misses", params={"cursor": "nonsense"}), 422)


async def test_what_was_alerted_of_is_no_miss(world: World) -> None:
    li = await world.person("li")
    await world.raise_alert(resident="r1")
    now = world.clock()
    again = await missed(li, world, happened_at=now.isoformat(), found_at=now.isoformat())
    problem(again, 409)


async def test_a_miss_of_another_estate_does_not_exist_for_who_is_not_of_it(world: World) -> None:
    li = await world.person("li", estates=("e2",))
    problem(await missed(li, world), 404)
