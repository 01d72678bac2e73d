"""People's data on a real database: sealed when written, opened when read, sealed in time where they were not."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from vigil.errors import Rejected
from vigil.sealing import Vault
from vigil.store import overview, own, register, residents, snapshot, things
from vigil.store.board import EVERYWHERE, Scope
from vigil.store.pool import ProcessRole, open_pool
from vigil.store.register import NewChange
from vigil.store.sealed import IN_CLEAR, Sweep, sealer_of
from vigil.store.seed import put_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.store.pool import Connection, Pool
    from vigil.store.sealed import Vault as AnyVault

pytestmark = [pytest.mark.integration, pytest.mark.trust]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
VAULT = Vault((b"1" * 32,))
PROFILE = {"note": "大黄狗很友好", "age": 88, "mobility": "wheelchair"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "community": [{"id": "c", "name": "阳光社区", "time_zone": "Asia/Shanghai"}],
    "estate": [
        {"id": "e1", "community": "c", "name": "一区"},
        {"id": "e2", "community": "c", "name": "二区"},
    ],
    "resident": [
        {
            "id": "r1",
            "estate": "e1",
            "name": "王秀英",
            "phone": "13900000001",
            "flagged": True,
            "profile": PROFILE,
        },
        {"id": "r2", "estate": "e2", "name": "李明", "phone": None, "flagged": True, "profile": {}},
    ],
}
PERSONAL = ("王秀英", "13900000001", "大黄狗")


@asynccontextmanager
async def pooled(database: str, vault: AnyVault, role: ProcessRole | None = None) -> AsyncIterator[Pool]:
    async with open_pool(SecretStr(database), "test", 2, role=role, vault=vault) as pool:
        yield pool


@asynccontextmanager
async def seeded(database: str, vault: AnyVault = VAULT) -> AsyncIterator[Pool]:
    async with pooled(database, vault) as pool:
        async with pool.transaction() as connection:
            await put_rows(connection, ROWS)
        yield pool


async def stored(database: str) -> str:
    """Everything that the register holds, as whoever has the disk reads it."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        cursor = await connection.execute(
            """
            SELECT t::text FROM resident t UNION ALL SELECT t::text FROM register_change t
            UNION ALL SELECT t::text FROM resident_key t UNION ALL SELECT t::text FROM audit_waiting t
            """
        )
        rows = await cursor.fetchall()
    return str(rows)


async def read(connection: Connection) -> tuple[object, ...]:
    found = await residents.resident(connection, "r1", EVERYWHERE)
    assert found is not None
    return found.name, found.phone, {**found.helpers, **found.profile}


WHOLE = ("王秀英", "13900000001", {"key_holders": None, "family": None, **PROFILE})


@pytest.mark.asyncio
async def test_who_has_the_disk_reads_no_name_and_whoever_may_look_does(database: str) -> None:
    async with seeded(database) as pool, pool.connection() as connection:
        assert not [word for word in PERSONAL if word in await stored(database)]
        assert await read(connection) == WHOLE
        assert [one.name for one in (await snapshot.roster(connection, None, NOW)).residents] == [
            "王秀英",
            "李明",
        ]


@pytest.mark.asyncio
async def test_a_change_is_sealed_with_its_history_and_read_again(database: str) -> None:
    async with seeded(database) as pool, pool.transaction() as connection:
        values = {
            "estate": "e1",
            "home": None,
            "name": "王秀兰",
            "phone": "13900000009",
            "flagged": True,
            "risk": 3,
            "lives_alone": True,
        }
        await register.change(connection, things.RESIDENT, "r1", values, NOW)
        await residents.keep(connection, "r1", {"note": "门卡在物业"})
        change = NewChange("resident", "r1", "e1", 2, {"name": "王秀英"}, {"name": "王秀兰"}, "person:li")
        await register.note(connection, change, NOW)
        row = await register.row(connection, things.RESIDENT, "r1", EVERYWHERE, lock=True)
        assert row is not None
        assert (row["name"], row["phone"]) == ("王秀兰", "13900000009")
        assert await own.profile(connection, "r1") == PROFILE | {"note": "门卡在物业"}
        (made,) = await register.changes(connection, EVERYWHERE, ["resident"], 1, 2**60)
        assert (made.before, made.after) == ({"name": "王秀英"}, {"name": "王秀兰"})
    held = await stored(database)
    assert not [word for word in ("王秀兰", "13900000009", "门卡") if word in held]


@pytest.mark.asyncio
async def test_somebody_new_is_sealed_from_the_first_write_on_in_the_rights_of_people(database: str) -> None:
    new = {**ROWS["resident"][0], "home": None, "risk": 1, "lives_alone": True}
    async with seeded(database), pooled(database, VAULT, ProcessRole.PEOPLE) as people:
        async with people.scoped(Scope(frozenset({"e1"})), "person:li") as connection:
            assert await register.add(connection, things.RESIDENT, "r3", new, NOW) == "r3"
            assert await register.add(connection, things.RESIDENT, "r1", new, NOW) is None
        async with people.scoped(Scope(frozenset({"e1"}))) as connection:
            found = await residents.residents(connection, EVERYWHERE, 10)
    assert [one.name for one in found] == ["王秀英", "王秀英"]
    assert not [word for word in PERSONAL[:2] if word in await stored(database)]


@pytest.mark.asyncio
async def test_what_stood_in_clear_is_sealed_while_everything_runs_and_reads_the_same(database: str) -> None:
    async with seeded(database, IN_CLEAR) as pool, pool.transaction() as connection:
        await register.note(connection, NewChange("helpers", "r1", "e1", 2, None, PROFILE, "person:li"), NOW)
        assert await read(connection) == WHOLE
    assert "王秀英" in await stored(database)
    async with pooled(database, VAULT, ProcessRole.API) as pool:
        async with pool.connection() as connection:
            assert await read(connection) == WHOLE  # before its turn
        assert not await Sweep(pool).step()
        async with pool.connection() as connection:
            assert await read(connection) == WHOLE
            (made,) = await register.changes(connection, EVERYWHERE, ["helpers"], 1, 2**60)
            before = await stored(database)
        assert made.after == PROFILE
        assert not [word for word in PERSONAL if word in before]
        await Sweep(pool).step()
        assert await stored(database) == before, "what is sealed is left alone"


@pytest.mark.asyncio
async def test_a_part_that_was_put_in_by_hand_is_sealed_with_the_rest(database: str) -> None:
    async with seeded(database) as pool:
        async with pool.connection() as connection:
            await connection.execute("UPDATE resident SET profile = profile || %s", [Jsonb({"family": []})])
            await connection.execute("UPDATE resident SET phone = '13911111111' WHERE id = 'r1'")
        await Sweep(pool).step()
        async with pool.connection() as connection:
            found = await residents.resident(connection, "r1", EVERYWHERE)
    assert found is not None
    assert (found.name, found.phone, found.whole) == ("王秀英", "13911111111", PROFILE | {"family": []})
    assert "13911111111" not in await stored(database)


@pytest.mark.asyncio
async def test_without_the_master_key_nothing_is_swept_read_or_written_over(database: str) -> None:
    async with seeded(database), pooled(database, IN_CLEAR) as pool:
        assert not await Sweep(pool).step()
        async with pool.connection() as connection:
            with pytest.raises(Rejected, match="VIGIL_MASTER_KEY_FILE"):
                await residents.resident(connection, "r1", EVERYWHERE)
            with pytest.raises(Rejected, match="VIGIL_MASTER_KEY_FILE"):
                await sealer_of(connection, "r1")


@pytest.mark.asyncio
async def test_a_destroyed_key_leaves_nothing_to_read_and_nothing_to_write(database: str) -> None:
    async with seeded(database) as pool, pool.connection() as connection:
        await connection.execute(
            "UPDATE resident_key SET wrapped = NULL, destroyed_at = %s WHERE resident = 'r1'", [NOW]
        )
        found = await residents.resident(connection, "r1", EVERYWHERE)
        assert found is not None
        assert (found.name, found.phone, found.whole) == ("", "", {"mobility": "wheelchair"})
        with pytest.raises(Rejected, match="erased"):
            await residents.keep(connection, "r1", {"note": "again"})


@pytest.mark.asyncio
async def test_a_box_that_was_copied_to_another_resident_is_refused(database: str) -> None:
    async with seeded(database) as pool, pool.connection() as connection:
        await connection.execute(
            "UPDATE resident SET name = (SELECT name FROM resident WHERE id = 'r1') WHERE id = 'r2'"
        )
        with pytest.raises(Rejected, match="not sealed for this place"):
            await residents.resident(connection, "r2", EVERYWHERE)


@pytest.mark.parametrize("role", [ProcessRole.PROCESSORS, ProcessRole.INGEST])
@pytest.mark.asyncio
async def test_who_decides_about_events_cannot_reach_a_key(database: str, role: ProcessRole) -> None:
    async with seeded(database), pooled(database, IN_CLEAR, role) as pool, pool.connection() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("SELECT wrapped FROM resident_key")


@pytest.mark.asyncio
async def test_a_search_finds_a_part_of_a_name_of_a_telephone_and_of_an_id_within_the_scope(
    database: str,
) -> None:
    async with seeded(database) as pool, pool.connection() as connection:
        for words, found in (("秀", ["r1"]), ("0001", ["r1"]), ("R2", ["r2"]), ("明", ["r2"]), ("张", [])):
            assert [hit.id for hit in await overview.search(connection, EVERYWHERE, words)] == found
        assert await overview.search(connection, Scope(frozenset({"e2"})), "秀") == []


@pytest.mark.asyncio
async def test_the_audit_log_says_that_something_changed_and_not_what(database: str) -> None:
    async with seeded(database) as pool, pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT note FROM audit_waiting WHERE note->>'thing' = 'resident_key'"
        )
        notes = await cursor.fetchall()
    assert {json.dumps(note["key"]) for (note,) in notes} == {'{"resident": "r1"}', '{"resident": "r2"}'}
