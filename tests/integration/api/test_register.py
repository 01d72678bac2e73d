"""The register as people change it: every kind of thing, who wore what, and who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

NEW: dict[str, dict[str, Any]] = {
    "communities": {"id": "c9", "name": "晨光社区", "time_zone": "Asia/Shanghai"},
    "estates": {"id": "e9", "community": "c9", "name": "九区"},
    "buildings": {"id": "b9", "estate": "e9", "name": "1号楼", "access_note": "Door code at the caretaker's"},
    "zones": {"id": "z9", "estate": "e9", "name": "401", "building": "1号楼", "floor": 4},
    "nodes": {"id": "n9", "estate": "e9", "zone": "z9"},
    "devices": {"id": "d9", "node": "n9", "zone": "z9", "kind": "door"},
    "residents": {"id": "r9", "estate": "e9", "home": "z9", "name": "李德福", "flagged": True, "risk": 2},
    "assignments": {"device": "d9", "resident": "r9"},
}
"""One of each, in an order in which each rests on those before it."""


async def put_in(client: httpx.AsyncClient, plural: str, **fields: Any) -> httpx.Response:
    answer = await client.post(f"/api/v1/{plural}", json=NEW[plural] | fields)
    assert answer.status_code == 201, answer.text
    return answer


async def all_put_in(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    return {plural: await put_in(client, plural) for plural in NEW}


def changed(answer: httpx.Response, **fields: Any) -> dict[str, Any]:
    """Return the body of a change of what an answer shows."""
    beside = {
        "id",
        "version",
        "zones",
        "flagged_residents",
        "synthetic",
        "online",
        "seen_at",
        "model",
        "firmware",
    }
    return {name: value for name, value in answer.json().items() if name not in beside} | fields


async def test_every_kind_of_thing_is_added_seen_listed_and_changed_on_the_version_that_was_seen(
    world: World,
) -> None:
    boss = await world.person("boss", "community_manager")
    for plural, added in (await all_put_in(boss)).items():
        path = added.headers["Location"]
        seen = await boss.get(path)
        assert changed(seen) == changed(added), path
        assert seen.headers["ETag"] == added.headers["ETag"] == '"1"'
        listed = (await boss.get(f"/api/v1/{plural}", params={"limit": 500})).json()["items"]
        assert [one["id"] for one in listed].count(added.json()["id"]) == 1
        body = changed(added)
        problem(await boss.put(path, json=body), 428)
        again = await boss.put(path, json=body, headers={"If-Match": '"1"'})
        assert again.headers["ETag"] == '"2"', again.text
        problem(await boss.put(path, json=body, headers={"If-Match": '"1"'}), 412)
        problem(
            await boss.post(f"/api/v1/{plural}", json=NEW[plural]), 422 if plural == "assignments" else 409
        )


async def test_a_field_that_cannot_be_is_named_with_the_remedy(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("estates", {"community": "nowhere"}, "/body/community"),
        ("zones", {"estate": "nowhere"}, "/body/estate"),
        ("zones", {"estate": "e1", "public": True}, "/body"),
        ("residents", {"estate": "e2", "home": "z1"}, "/body/home"),
        ("residents", {"estate": "e1", "home": None, "risk": 9}, "/body/risk"),
        ("communities", {"time_zone": "Mars/Olympus"}, "/body/time_zone"),
        ("devices", {"node": "nowhere", "zone": None}, "/body/node"),
    ]
    for plural, fields, pointer in wrong:
        told = problem(await boss.post(f"/api/v1/{plural}", json=NEW[plural] | fields), 422)
        assert told["errors"][0]["pointer"] == pointer, told
        assert pointer in told["detail"]
    told = problem(
        await boss.post("/api/v1/residents", json=NEW["residents"] | {"estate": "e2", "home": "z1"}), 422
    )
    assert "zone z1 is in estate e1, not in e2; name one of e2" in told["detail"]


async def test_a_pendant_is_worn_by_one_person_at_a_time_and_it_is_known_by_whom_when(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await all_put_in(boss)
    await put_in(boss, "residents", id="r10")
    pendant = await put_in(boss, "devices", id="p1", zone=None, kind="pendant", placement="waist")
    handed = "2026-03-01T08:00:00Z"
    first = await put_in(boss, "assignments", device="p1")
    told = problem(
        await boss.post("/api/v1/assignments", json={"device": "p1", "resident": "r10", "since": handed}), 422
    )
    assert "p1 is assigned to r9 at that time; end that assignment first" in told["detail"]
    ended = await boss.put(
        first.headers["Location"],
        json=changed(first, until=handed),
        headers={"If-Match": first.headers["ETag"]},
    )
    assert ended.json()["until"] == handed
    await put_in(boss, "assignments", device="p1", resident="r10", since=handed)
    listed = (await boss.get("/api/v1/assignments", params={"estate": "e9"})).json()["items"]
    worn = [(a["resident"], a["since"], a["until"]) for a in listed if a["device"] == pendant.json()["id"]]
    assert worn == [("r9", None, handed), ("r10", handed, None)]


async def test_where_a_device_hung_is_kept_when_it_moves(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    added = await all_put_in(boss)
    await put_in(boss, "zones", id="z10", name="402")
    device = added["devices"]
    moved = await boss.put(
        device.headers["Location"], json=changed(device, zone="z10"), headers={"If-Match": '"1"'}
    )
    assert moved.json()["zone"] == "z10"
    places = (await boss.get("/api/v1/devices/d9/places")).json()
    assert [place["zone"] for place in places] == ["z10", "z9"]
    assert places[0]["until"] is None
    assert places[0]["since"] == places[1]["until"]


async def test_a_building_keeps_its_homes_and_its_grid_worker_under_a_new_name(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await world.person("chen", "grid_worker")
    (building,) = (await boss.get("/api/v1/buildings", params={"estate": "e1"})).json()["items"]
    assert (building["name"], building["zones"], building["flagged_residents"]) == ("3号楼", 1, 1)
    beat = {"buildings": [{"estate": "e1", "building": "3号楼"}]}
    assert (await boss.put("/api/v1/accounts/chen/beat", json=beat)).status_code == 200
    path = f"/api/v1/buildings/{building['id']}"
    body = {"estate": "e1", "name": "三号楼", "access_note": "Ring at the caretaker's"}
    assert (await boss.put(path, json=body, headers={"If-Match": '"1"'})).status_code == 200
    assert (await boss.get("/api/v1/zones/z1")).json()["building"] == "三号楼"
    assert (await boss.get("/api/v1/accounts/chen/beat")).json()["buildings"][0]["building"] == "三号楼"
    told = problem(await boss.delete(path, headers={"If-Match": '"2"'}), 409)
    assert "rests on it" in told["detail"]


async def test_who_changed_what_is_on_record_and_a_change_can_be_taken_back_once(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    added = (await all_put_in(boss))["residents"]
    path = added.headers["Location"]
    for version, risk in ((1, 3), (2, 1)):
        answer = await boss.put(path, json=changed(added, risk=risk), headers={"If-Match": f'"{version}"'})
        assert answer.status_code == 200
    history = (await boss.get("/api/v1/changes", params={"thing": "resident", "id": "r9"})).json()["items"]
    assert [
        (c["action"], c["name"], (c["before"] or {}).get("risk"), c["after"]["risk"]) for c in history
    ] == [
        ("changed", "Boss", 3, 1),
        ("changed", "Boss", 2, 3),
        ("added", "Boss", None, 2),
    ]
    latest, earlier, first = (f"/api/v1/changes/{change['id']}/undo" for change in history)
    assert "changed again since" in problem(await boss.post(earlier), 409)["detail"]
    undone = (await boss.post(latest)).json()
    assert (undone["undoes"], undone["after"]["risk"]) == (history[0]["id"], 3)
    assert "taken back already" in problem(await boss.post(latest), 409)["detail"]
    assert (await boss.post(earlier)).status_code == 201
    assert (await boss.get(path)).json()["risk"] == 2
    assert "not taken out" in problem(await boss.post(first), 409)["detail"]


async def test_what_was_taken_out_comes_back_by_an_undo(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await all_put_in(boss)
    (one,) = (await boss.get("/api/v1/assignments", params={"estate": "e9"})).json()["items"]
    path = f"/api/v1/assignments/{one['id']}"
    problem(await boss.delete("/api/v1/devices/d9", headers={"If-Match": '"1"'}), 409)
    assert (await boss.delete(path, headers={"If-Match": '"1"'})).status_code == 204
    assert (await boss.get(path)).status_code == 404
    last = (await boss.get("/api/v1/changes", params={"thing": "assignment"})).json()["items"][0]
    assert (last["action"], last["after"]) == ("removed", None)
    assert (await boss.post(f"/api/v1/changes/{last['id']}/undo")).status_code == 201
    (back,) = (await boss.get("/api/v1/assignments", params={"estate": "e9"})).json()["items"]
    assert (back["device"], back["resident"]) == ("d9", "r9")


async def test_a_box_that_has_sent_something_is_retired_and_not_taken_out(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await put_in(boss, "nodes", estate="e1", zone="z1")
    async with world.pool.connection() as connection:
        await connection.execute("UPDATE node SET seen_at = %s", [world.clock()])
    told = problem(await boss.delete("/api/v1/nodes/n9", headers={"If-Match": '"1"'}), 409)
    assert "set it retired" in told["detail"]
    body = {"estate": "e1", "zone": "z1", "retired": True}
    assert (await boss.put("/api/v1/nodes/n9", json=body, headers={"If-Match": '"1"'})).json()["retired"]


async def test_what_is_outside_of_ones_estates_does_not_exist_for_one(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    await all_put_in(boss)
    near = await world.person("near", "community_manager", estates=("e1",))
    for path in ("estates/e9", "zones/z9", "nodes/n9", "devices/d9", "residents/r9", "communities/c9"):
        problem(await near.get(f"/api/v1/{path}"), 404)
    assert [one["id"] for one in (await near.get("/api/v1/estates")).json()["items"]] == ["e1"]
    assert {one["estate"] for one in (await near.get("/api/v1/changes")).json()["items"]} <= {"e1"}
    problem(await near.post("/api/v1/zones", json=NEW["zones"]), 422)
    problem(await near.post("/api/v1/estates", json=NEW["estates"] | {"community": "c", "id": "e8"}), 403)


async def test_officers_see_the_register_and_change_none_of_it_and_every_look_at_a_resident_is_noted(
    world: World,
) -> None:
    li = await world.person("li", "duty_officer")
    assert (await li.get("/api/v1/zones/z1")).status_code == 200
    problem(await li.put("/api/v1/zones/z1", json={}, headers={"If-Match": '"1"'}), 403)
    assert (await li.get("/api/v1/residents/r1")).json()["name"] == "王秀英"
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT actor, what FROM access_log WHERE resident = 'r1'")
        assert await cursor.fetchall() == [("person:li", "resident")]


async def test_who_helps_is_on_record_too(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    seen = await boss.get("/api/v1/residents/r1/helpers")
    son = {"name": "王伟", "phone": "13900000002", "relation": "son"}
    put = await boss.put(
        "/api/v1/residents/r1/helpers",
        json={"key_holders": [son]},
        headers={"If-Match": seen.headers["ETag"]},
    )
    assert put.status_code == 200
    (change,) = (await boss.get("/api/v1/changes", params={"thing": "helpers", "id": "r1"})).json()["items"]
    assert change["before"]["key_holders"] == []
    assert change["after"]["key_holders"] == [son]
