"""Profiles and helpers, written as a whole, put on record, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
HOSPITAL = {"from": "2026-12-01T08:00:00+08:00"}
CARER = {"days": [0, 2], "from": "09:00", "until": "10:30"}
PROFILE = "/api/v1/residents/r1/profile"
HELPERS = "/api/v1/residents/r1/helpers"


async def write(client: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    seen = await client.get(path)
    return await client.put(path, json=body, headers={"If-Match": seen.headers["ETag"]})


async def changes(client: httpx.AsyncClient, thing: str) -> list[dict[str, Any]]:
    found = await client.get("/api/v1/changes", params={"thing": thing, "id": "r1"})
    items: list[dict[str, Any]] = found.json()["items"]
    return items


async def test_a_planned_absence_is_written_as_detectors_read_it_and_leaves_helpers_alone(
    world: World,
) -> None:
    boss = await world.person("boss", "supervisor")
    await write(boss, HELPERS, note="ring twice")
    answer = await write(boss, PROFILE, mobility="wheelchair", absences=[HOSPITAL], visits=[CARER])
    assert answer.status_code == 200, answer.text
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT profile FROM resident WHERE id = 'r1'")
        ((profile,),) = await cursor.fetchall()
    assert profile["absences"] == [{"from": "2026-12-01T00:00:00Z", "until": None}]
    assert profile["visits"] == [CARER]
    assert (profile["mobility"], profile["note"]) == ("wheelchair", "ring twice")


async def test_what_cannot_be_is_refused_at_its_field(world: World) -> None:
    boss = await world.person("boss", "supervisor")
    backwards = HOSPITAL | {"until": "2026-11-30T08:00:00+08:00"}
    late = CARER | {"until": "25:00"}
    for body, pointer in (
        ({"absences": [backwards]}, "/body/absences/0"),
        ({"visits": [late]}, "/body/visits/0/until"),
        ({"exit_doors": ["nowhere"]}, "/body/exit_doors"),
        ({"mobility": "flies"}, "/body/mobility"),
    ):
        said = problem(await write(boss, PROFILE, **body), 422)
        assert said["errors"][0]["pointer"] == pointer
        assert said["errors"][0]["code"]


async def test_of_two_who_write_at_once_the_second_is_told(world: World) -> None:
    boss = await world.person("boss", "supervisor")
    seen = (await boss.get(PROFILE)).headers["ETag"]
    assert (await boss.put(PROFILE, json={"age": 80}, headers={"If-Match": seen})).status_code == 200
    problem(await boss.put(PROFILE, json={"age": 81}, headers={"If-Match": seen}), 412)
    problem(await boss.put(HELPERS, json={}, headers={"If-Match": seen}), 412)


async def test_helpers_and_profiles_are_taken_back_unless_they_were_changed_since(world: World) -> None:
    boss = await world.person("boss", "supervisor")
    for path, thing, first, second in (
        (PROFILE, "profile", {"age": 80}, {"age": 81}),
        (HELPERS, "helpers", {"note": "ring"}, {"note": "knock"}),
    ):
        await write(boss, path, **first)
        await write(boss, path, **second)
        latest, older = await changes(boss, thing)
        problem(await boss.post(f"/api/v1/changes/{older['id']}/undo"), 409)
        undone = await boss.post(f"/api/v1/changes/{latest['id']}/undo")
        assert undone.status_code == 201, undone.text
        assert undone.json()["undoes"] == latest["id"]
        now = (await boss.get(path)).json()
        assert {name: now[name] for name in first} == first
        problem(await boss.post(f"/api/v1/changes/{latest['id']}/undo"), 409)


async def test_an_officer_reads_a_profile_writes_none_and_the_look_is_written_down(world: World) -> None:
    li = await world.person("li", "duty_officer")
    seen = await li.get(PROFILE)
    assert seen.status_code == 200
    problem(await li.put(PROFILE, json={}, headers={"If-Match": seen.headers["ETag"]}), 403)
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT actor, what FROM access_log WHERE resident = 'r1'")
        assert await cursor.fetchall() == [("person:li", "profile")]
