"""The console and the API on sealed data: everybody reads names as before, and nowhere what they are sealed as."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.integration.api.conftest import serving
from tests.integration.api.test_stream import connected, reading
from vigil.sealing import Vault
from vigil.store.sealed import MARK, Sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
HELP = {
    "key_holders": [{"name": "张伟", "phone": "13900000002", "relation": "子"}],
    "family": [],
    "note": "敲门两次",
}
NAMED = (
    *(
        "/edit/residents/r1",
        "/edit/residents/r1/care",
        "/edit/residents/suggest?q=秀英",
        "/community/residents",
        "/community/search?q=秀英",
        "/round",
        "/sheet",
    ),
    *("/api/v1/residents", "/api/v1/residents/r1", "/api/v1/alerts", "/api/v1/changes", "/edit/residents"),
)
"""Where a manager reads a resident's name."""


@pytest_asyncio.fixture
async def world(database: str, clock: FakeClock) -> AsyncIterator[World]:
    """The application with a master key; the one resident is sealed as whoever switches it on would find them."""
    async with serving(database, clock, vault=Vault((b"1" * 32,))) as made:
        await Sweep(made.pool).step()
        yield made


async def stored(world: World) -> str:
    async with world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT string_agg(t::text, '') FROM resident t) || (SELECT coalesce(string_agg(t::text, ''), '')"
            " FROM register_change t)"
        )
        ((found,),) = await cursor.fetchall()
    return str(found)


async def test_names_are_read_on_every_page_and_written_nowhere_in_clear(world: World) -> None:
    boss = await world.person("boss", "community_manager", ("e1",))
    async with world.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO beat (account, estate, building) VALUES ('boss', 'e1', '3号楼')"
        )
    await world.raise_alert("resident:r1")
    seen = await boss.get("/api/v1/residents/r1/helpers")
    changed = await boss.put(
        "/api/v1/residents/r1/helpers", json=HELP, headers={"If-Match": seen.headers["ETag"]}
    )
    assert changed.status_code == 200, changed.text
    lacking, raw = [], []
    for path in NAMED:
        answer = await boss.get(path)
        assert answer.status_code == 200, path
        lacking += [path] if "王秀英" not in answer.text and "张伟" not in answer.text else []
        raw += [path] if MARK in answer.text or "\\u0001" in answer.text or "(r1," in answer.text else []
    assert (lacking, raw) == ([], [])
    held = await stored(world)
    assert not [word for word in ("王秀英", "13900000001", "张伟", "敲门") if word in held]


async def test_the_live_stream_opens_names_too(world: World) -> None:
    officer = await world.person("li", "duty_officer", ("e1",))
    async with asyncio.timeout(20), reading(officer) as events:
        await connected(world)
        await world.raise_alert("resident:r1")
        told = await anext(events)
    assert told.data["resident"]["name"] == "王秀英"
    assert told.data["resident"]["phone"] == "13900000001"
