"""Accounts, contacts and their proof, as people manage them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import PASSWORD, problem

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
LI = {"id": "li.na", "name": "李娜", "role": "duty_officer", "estates": ["e1"], "phone": "010-1"}


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (LI | fields).items() if name != "id"}


async def test_an_account_is_added_changed_and_shut_out(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    added = await boss.post("/api/v1/accounts", json=LI | {"password": PASSWORD})
    assert added.status_code == 201
    assert added.headers["Location"] == "/api/v1/accounts/li.na"
    li = await world.client()
    login = {"account": "li.na", "password": PASSWORD}
    assert (await li.post("/api/v1/session", json=login)).status_code == 204
    put = await boss.put(
        "/api/v1/accounts/li.na",
        json=changed(estates=["e1", "e2"]),
        headers={"If-Match": added.headers["ETag"]},
    )
    assert put.json()["estates"] == ["e1", "e2"]
    assert (await li.get("/api/v1/session")).json()["estates"] == ["e1", "e2"]
    gone = await boss.delete("/api/v1/accounts/li.na", headers={"If-Match": put.headers["ETag"]})
    assert gone.status_code == 204
    assert (await li.get("/api/v1/session")).status_code == 401
    assert (await boss.get("/api/v1/accounts/li.na")).json()["disabled_at"]


async def test_of_two_who_change_an_account_the_second_is_told_to_look_again(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    seen = (await boss.post("/api/v1/accounts", json=LI)).headers["ETag"]
    first = await boss.put("/api/v1/accounts/li.na", json=changed(name="A"), headers={"If-Match": seen})
    assert first.status_code == 200
    problem(await boss.put("/api/v1/accounts/li.na", json=changed(), headers={"If-Match": seen}), 412)
    problem(await boss.put("/api/v1/accounts/li.na", json=changed()), 428)


async def test_a_write_that_comes_twice_is_done_once_and_answered_twice(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    key = {"Idempotency-Key": "k1"}
    first, second = await asyncio.gather(
        *(boss.post("/api/v1/accounts", json=LI, headers=key) for _ in range(2))
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["ETag"] == second.headers["ETag"]
    assert {r.headers.get("Idempotency-Replayed") for r in (first, second)} == {None, "true"}
    problem(await boss.post("/api/v1/accounts", json=LI), 409)
    other = LI | {"id": "wu.jun"}
    assert problem(await boss.post("/api/v1/accounts", json=other, headers=key), 422)["type"].endswith(
        "key_reused"
    )


async def test_a_write_that_failed_may_be_tried_again_with_the_same_key(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    key = {"Idempotency-Key": "k2"}
    problem(await boss.put("/api/v1/accounts/li.na", json=changed(), headers=key | {"If-Match": '"1"'}), 404)
    await boss.post("/api/v1/accounts", json=LI)
    again = await boss.put("/api/v1/accounts/li.na", json=changed(), headers=key | {"If-Match": '"1"'})
    assert again.status_code == 200


@pytest.mark.trust
async def test_nobody_gives_more_estates_than_they_have_or_changes_who_has_more(world: World) -> None:
    boss = await world.person("boss", "community_manager", ("e1",))
    await world.person("all", "duty_officer", ("*",))
    await world.person("far", "duty_officer", ("e2",))
    problem(await boss.post("/api/v1/accounts", json=LI | {"estates": ["*"]}), 403)
    problem(await boss.post("/api/v1/accounts", json=LI | {"estates": ["e1", "e2"]}), 403)
    problem(await boss.put("/api/v1/accounts/all", json=changed(), headers={"If-Match": '"1"'}), 403)
    problem(await boss.get("/api/v1/accounts/far"), 404)
    problem(await boss.delete("/api/v1/accounts/far", headers={"If-Match": '"1"'}), 404)
    problem(await boss.post("/api/v1/accounts", json=LI | {"role": "canary"}), 422)


@pytest.mark.trust
@pytest.mark.parametrize(
    "role", ["duty_officer", "grid_worker", "supervisor", "ops", "auditor", "street_centre"]
)
async def test_nobody_but_a_manager_makes_accounts(world: World, role: str) -> None:
    somebody = await world.person("x", role)
    problem(await somebody.post("/api/v1/accounts", json=LI), 403)


async def test_a_listing_comes_in_pages_that_miss_nothing(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    for n in range(5):
        await boss.post("/api/v1/accounts", json=LI | {"id": f"p{n}"})
    seen: list[str] = []
    where: dict[str, Any] = {"limit": 2}
    while True:
        page = (await boss.get("/api/v1/accounts", params=where)).json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        where["cursor"] = page["next"]
    assert seen == ["boss", "p0", "p1", "p2", "p3", "p4"]
    problem(await boss.get("/api/v1/accounts", params={"cursor": "nonsense!"}), 422)


async def with_contact(world: World) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    boss, li = await world.person("boss", "community_manager"), await world.person("li", estates=("e1",))
    body = {"channel": "message", "url": "ntfy://localhost/li-secret"}
    answer = await boss.put("/api/v1/accounts/li/contacts/0", json=body)
    assert answer.status_code == 201, answer.text
    return boss, li


def code_in(world: World) -> str:
    found = re.search(r"\d{6}", world.sent[-1][1].body)
    assert found
    return found[0]


async def test_a_contact_counts_once_the_code_that_went_through_it_was_said_back(world: World) -> None:
    _, li = await with_contact(world)
    assert (await li.post("/api/v1/accounts/li/contacts/0/code")).status_code == 204
    assert world.sent[-1][0] == "ntfy://localhost/li-secret"
    said = await li.post("/api/v1/accounts/li/contacts/0/verify", json={"code": code_in(world)})
    assert said.json()["verified_at"] is not None
    again = await li.post("/api/v1/accounts/li/contacts/0/verify", json={"code": code_in(world)})
    problem(again, 422)


async def test_a_code_is_void_after_ten_minutes_after_five_guesses_and_when_a_new_one_is_sent(
    world: World,
) -> None:
    _, li = await with_contact(world)
    url = "/api/v1/accounts/li/contacts/0"
    await li.post(f"{url}/code")
    old = code_in(world)
    problem(await li.post(f"{url}/code"), 429)
    world.clock.move(minutes=11)
    problem(await li.post(f"{url}/verify", json={"code": old}), 422)
    await li.post(f"{url}/code")
    new = code_in(world)
    for _ in range(5):
        problem(await li.post(f"{url}/verify", json={"code": "000000" if new != "000000" else "000001"}), 422)
    problem(await li.post(f"{url}/verify", json={"code": new}), 422)
    world.clock.move(minutes=1)
    await li.post(f"{url}/code")
    assert (await li.post(f"{url}/verify", json={"code": code_in(world)})).status_code == 200


async def test_a_changed_address_is_to_be_verified_anew(world: World) -> None:
    boss, li = await with_contact(world)
    await li.post("/api/v1/accounts/li/contacts/0/code")
    said = await li.post("/api/v1/accounts/li/contacts/0/verify", json={"code": code_in(world)})
    body = {"channel": "voice", "url": "json://localhost/call"}
    stale = await boss.put("/api/v1/accounts/li/contacts/0", json=body, headers={"If-Match": '"1"'})
    problem(stale, 412)
    etag = f'"{said.json()["version"]}"'
    moved = await boss.put("/api/v1/accounts/li/contacts/0", json=body, headers={"If-Match": etag})
    assert moved.json()["verified_at"] is None


async def test_a_code_that_cannot_be_sent_says_so(world: World) -> None:
    _, li = await with_contact(world)
    world.broken.add("ntfy://localhost/li-secret")
    assert "could not be sent" in problem(await li.post("/api/v1/accounts/li/contacts/0/code"), 422)["detail"]


@pytest.mark.trust
async def test_an_address_is_never_shown_and_only_its_owner_and_managers_see_that_there_is_one(
    world: World,
) -> None:
    boss, li = await with_contact(world)
    other = await world.person("wu", estates=("e1",))
    for reader in (boss, li):
        text = (await reader.get("/api/v1/accounts/li/contacts")).text
        assert "ntfy" in text
        assert "secret" not in text
    problem(await other.get("/api/v1/accounts/li/contacts"), 403)
    problem(await other.post("/api/v1/accounts/li/contacts/0/code"), 403)
    problem(await li.put("/api/v1/accounts/li/contacts/1", json={"channel": "voice", "url": "json://x"}), 403)


@pytest.mark.parametrize("url", ["nonsense", "syslog://", "dbus://", "gopher://host/x"])
async def test_an_address_that_would_reach_nobody_is_refused(world: World, url: str) -> None:
    boss = await world.person("boss", "community_manager")
    await world.person("li")
    problem(await boss.put("/api/v1/accounts/li/contacts/0", json={"channel": "message", "url": url}), 422)
