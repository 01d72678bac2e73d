"""The schema comes about once, on plain PostgreSQL and on TimescaleDB, now or later."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.store.test_intake import dead, row
from tests.making import BOOT, NOW
from vigil.store import intake, migrations
from vigil.store.migrations import migrate, shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        yield connection


async def tables(connection: Any) -> set[str]:
    rows = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in await rows.fetchall()}


async def test_migrations_are_ordered_by_distinct_numbers() -> None:
    names = [migration.name for migration in shipped()]
    numbers = [name.partition("_")[0] for name in names]
    assert names == sorted(names)
    assert len(set(numbers)) == len(numbers)
    assert all(len(number) == 4 and number.isdigit() for number in numbers)


async def test_plain_postgresql_gets_every_table_and_leaves_out_what_it_cannot_do(
    empty_database: str,
) -> None:
    async with connected(empty_database) as connection:
        if await migrations.has_timescale(connection):
            pytest.skip("this PostgreSQL has TimescaleDB; see the test beside this one")
        applied = await migrate(connection)
        assert applied == [m.name for m in shipped() if not m.needs_timescale]
        assert {"event", "telemetry", "health", "alert", "checkpoint", "watermark"} <= await tables(
            connection
        )


async def test_a_second_time_there_is_nothing_to_do(empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await migrate(connection)
        assert await migrate(connection) == []


async def test_of_two_who_migrate_at_once_one_does_it(empty_database: str) -> None:
    async with connected(empty_database) as one, connected(empty_database) as other:
        applied = await asyncio.gather(migrate(one), migrate(other))
        assert sorted(map(bool, applied)) == [False, True]


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = migrations.Migration("0001_broken.sql", "CREATE TABLE half (); SELECT 1/0;")
    monkeypatch.setattr(migrations, "shipped", lambda: [broken])
    async with connected(empty_database) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await migrate(connection)
        assert await tables(connection) == {"migration"}
        monkeypatch.undo()
        assert await migrate(connection) != []


async def test_timescale_gets_hypertables_and_events_are_stored_once_in_them(timescale: str) -> None:
    async with connected(timescale) as connection:
        assert await migrate(connection) == [m.name for m in shipped()]
        assert await migrate(connection) == []
        rows = await connection.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")
        assert {"event", "telemetry", "health"} <= {name for (name,) in await rows.fetchall()}
        several = [row(seq) for seq in (1, 2, 2, 200_000)]
        for table in ("event", "telemetry", "health"):
            async with connection.transaction():
                assert len(await intake.insert_events(connection, table, several)) == 3
                assert await intake.insert_events(connection, table, several) == set()
                assert await intake.insert_implausible(connection, [row(1)]) == set()
        async with connection.transaction():
            await intake.insert_dead(connection, [dead(9)])
            (mark,) = await intake.account(connection, {("n1", BOOT, "alarm"): [(1, 2)]}, NOW)
        assert mark.stored == 2


async def test_timescale_that_comes_to_a_database_in_use_takes_its_rows_along(
    timescale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no(_connection: object) -> bool:
        return False

    async with connected(timescale) as connection:
        monkeypatch.setattr(migrations, "has_timescale", no)
        await migrate(connection)
        await intake.insert_events(connection, "event", [row(1), row(200_000)])
        monkeypatch.undo()
        assert await migrate(connection) == [m.name for m in shipped() if m.needs_timescale]
        assert await intake.insert_events(connection, "event", [row(1), row(2)]) == {row(2).id}
        (count,) = await (await connection.execute("SELECT count(*) FROM event")).fetchone() or (None,)
        assert count == 3
