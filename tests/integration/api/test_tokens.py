"""People's own tokens: no more than their owner, for a time, and void at a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem
from vigil.store import accounts

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
TOKENS = "/api/v1/tokens"


async def made(owner: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    wanted = {"name": "a script", "scopes": ["see_alerts"], **body}
    answer = await owner.post(TOKENS, json=wanted)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def bearer(world: World, token: dict[str, Any]) -> httpx.AsyncClient:
    client = await world.client()
    client.headers["Authorization"] = f"Bearer {token['secret']}"
    return client


async def test_a_token_does_what_it_was_made_for_and_nothing_else(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li", "supervisor")
    script = await bearer(world, await made(li))
    seen = (await script.get("/api/v1/alerts")).json()["alerts"]
    assert [one["id"] for one in seen] == [str(alert)]
    assert seen[0]["resident"] is None or "name" not in seen[0]["resident"]
    problem(await script.get("/api/v1/residents"), 403)
    problem(await script.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1}), 403)
    assert (await li.get(TOKENS)).json()["items"][0]["used_at"]


async def test_a_token_makes_no_tokens_and_touches_no_second_factor(world: World) -> None:
    li = await world.person("li")
    script = await bearer(world, await made(li))
    for path in (TOKENS, "/api/v1/session/all", "/api/v1/session/second-factor"):
        problem(await script.get(path), 403)
    problem(await script.post(TOKENS, json={"name": "another", "scopes": ["see_alerts"]}), 403)


async def test_nobody_makes_a_token_that_may_more_than_they(world: World) -> None:
    li = await world.person("li", estates=("e1",))
    for more in ({"scopes": ["manage_staff"]}, {"estates": ["e2"]}, {"estates": ["*"]}):
        problem(await li.post(TOKENS, json={"name": "a", "scopes": ["see_alerts"], **more}), 403)
    problem(await li.post(TOKENS, json={"name": "a", "scopes": ["see_alerts"], "days": 91}), 422)


async def test_what_the_owner_loses_the_token_loses_at_once(world: World) -> None:
    await world.raise_alert(estate="e2")
    li = await world.person("li", estates=("e1", "e2"))
    script = await bearer(world, await made(li, estates=["e2"]))
    assert len((await script.get("/api/v1/alerts")).json()["alerts"]) == 1
    async with world.pool.connection() as connection:
        await connection.execute("UPDATE account SET estates = '{e1}' WHERE id = 'li'")
    assert (await script.get("/api/v1/alerts")).json()["alerts"] == []
    async with world.pool.connection() as connection:
        await connection.execute("UPDATE account SET role = 'family' WHERE id = 'li'")
    problem(await script.get("/api/v1/alerts"), 403)
    async with world.pool.connection() as connection:
        await accounts.disable_account(connection, "li", world.clock())
    problem(await script.get("/api/v1/alerts"), 401)


async def test_a_token_ends_with_its_days_or_when_its_owner_says_so(world: World) -> None:
    li, wang = await world.person("li"), await world.person("wang")
    short, long = await made(li, days=1), await made(li, days=90)
    problem(await wang.delete(f"{TOKENS}/{long['id']}"), 404)
    one, other = await bearer(world, short), await bearer(world, long)
    assert (await li.delete(f"{TOKENS}/{long['id']}")).status_code == 204
    problem(await other.get("/api/v1/alerts"), 401)
    assert (await one.get("/api/v1/alerts")).status_code == 200
    world.clock.move(days=1)
    problem(await one.get("/api/v1/alerts"), 401)


async def test_no_tokens_secret_stands_in_the_database_or_is_shown_again(world: World) -> None:
    li = await world.person("li")
    secret = (await made(li))["secret"]
    assert secret not in (await li.get(TOKENS)).text
    async with world.pool.connection() as connection:
        rows = await (await connection.execute("SELECT t::text FROM personal_token t")).fetchall()
    assert rows
    assert secret not in rows[0][0]
