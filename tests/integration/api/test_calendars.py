"""Addresses that a telephone's calendar may subscribe to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def on_duty(world: World, account: str) -> None:
    """Put somebody on duty as an import does: proofs of contacts are tested with the rota."""
    async with world.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO shift (account, duty, starts_at, ends_at) VALUES (%s, 'officer', %s, %s::timestamptz + interval '8 h')",
            [account, world.clock(), world.clock()],
        )


async def test_a_calendar_reads_duty_by_its_address_alone_until_that_is_revoked(world: World) -> None:
    li, stranger = await world.person("li"), await world.client()
    await world.person("wu")
    await on_duty(world, "li")
    await on_duty(world, "wu")
    made = (await li.post("/api/v1/calendars", json={"account": "li"})).json()
    read = await stranger.get(made["url"])
    assert read.headers["Content-Type"].startswith("text/calendar")
    assert read.text.count("BEGIN:VEVENT") == 1
    assert "SUMMARY:li: officer" in read.text
    (listed,) = (await li.get("/api/v1/calendars")).json()["items"]
    assert listed["read_at"] is not None
    assert made["url"].rpartition("/")[2].removesuffix(".ics") not in str(listed)
    assert (await li.delete(f"/api/v1/calendars/{made['id']}")).status_code == 204
    problem(await stranger.get(made["url"]), 404)
    problem(await li.delete(f"/api/v1/calendars/{made['id']}"), 404)


async def test_an_address_shows_no_more_than_its_owner_may_see_and_ends_with_the_account(
    world: World,
) -> None:
    near = await world.person("near", estates=("e1",))
    await world.person("far", estates=("e2",))
    await on_duty(world, "near")
    await on_duty(world, "far")
    url = (await near.post("/api/v1/calendars", json={})).json()["url"]
    stranger = await world.client()
    assert "near: officer" in (await stranger.get(url)).text
    assert "far: officer" not in (await stranger.get(url)).text
    problem(await near.post("/api/v1/calendars", json={"account": "far"}), 404)
    async with world.pool.connection() as connection:
        await connection.execute("UPDATE account SET disabled_at = %s WHERE id = 'near'", [world.clock()])
    problem(await stranger.get(url), 404)


async def test_somebody_elses_address_is_not_ones_own_to_revoke(world: World) -> None:
    li, wu = await world.person("li"), await world.person("wu")
    made = (await li.post("/api/v1/calendars", json={})).json()
    assert (await wu.get("/api/v1/calendars")).json()["items"] == []
    problem(await wu.delete(f"/api/v1/calendars/{made['id']}"), 404)
    problem(await wu.get("/api/v1/calendars/nobody-has-this-address.ics"), 404)
