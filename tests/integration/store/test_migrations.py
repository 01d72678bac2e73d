"""The schema comes about once, on plain PostgreSQL and on TimescaleDB, now or later."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.integration.store.test_intake import all_of, dead, row
from tests.integration.store.test_retention import Only
from tests.making import BOOT, NOW
from vigil.errors import Stop, TooNew
from vigil.store import __main__ as command
from vigil.store import intake, migrations, rights
from vigil.store.migrations import migrate, shipped
from vigil.store.retention import trim

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


async def test_a_database_that_a_newer_version_has_migrated_is_left_alone(empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await migrate(connection)
        await connection.execute("INSERT INTO migration VALUES ('9998_a.sql'), ('9999_b.sql')")
        with pytest.raises(TooNew, match=r"does not know 9998_a\.sql, 9999_b\.sql"):
            await migrate(connection)


async def test_the_command_says_what_it_did(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGIL_DATABASE_DSN", empty_database)
    monkeypatch.setattr("sys.argv", ["vigil.store", "migrate"])

    async def run() -> tuple[int, list[str]]:
        code = await asyncio.to_thread(command.main)
        return code, capfd.readouterr().out.splitlines()

    names = [f"applied {m.name}" for m in shipped() if not m.needs_timescale]
    code, said = await run()
    assert (code, said[: len(names) + 1]) == (0, [*names, "the schema is current"])
    assert "TimescaleDB is not there" in said[-1]
    code, said = await run()
    assert (code, said[0]) == (0, "the schema is current; there was nothing to apply")
    async with connected(empty_database) as connection:
        await connection.execute("INSERT INTO migration VALUES ('9999_b.sql')")
    code, said = await run()
    assert (code, said) == (1, [])


PLAIN = [migration.name for migration in shipped() if not migration.needs_timescale]
RIGHTS_SINCE = "0150_scope.sql"
OWN_SINCE = "0191"


async def migrate_as_then(connection: Any, last: str) -> None:
    """Migrate as the version did whose last migration this is: 0150 brought rights, 0191 what is one's own."""

    async def nothing(_connection: object) -> None:
        pass

    then = [migration for migration in shipped() if migration.name <= last]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(migrations, "shipped", lambda: then)
        if last < RIGHTS_SINCE:
            patched.setattr(rights, "put", nothing)
        if last < OWN_SINCE:
            patched.setattr(rights, "OWN", {})
        await migrate(connection)


@pytest.mark.parametrize("last", PLAIN[:-1])
async def test_from_any_state_there_ever_was_a_database_comes_to_the_present_with_its_rows(
    empty_database: str, last: str
) -> None:
    async with connected(empty_database) as connection:
        await migrate_as_then(connection, last)
        await intake.insert_events(connection, "event", [row(1)])
        await intake.insert_dead(connection, [dead(9)])
        assert await migrate(connection) == [name for name in PLAIN if name > last]
        assert await intake.insert_events(connection, "event", [row(1), row(2)]) == {row(2).id}
        assert await intake.insert_dead(connection, [dead(9)]) == set()


_AS_BEFORE_0210 = """
    INSERT INTO watermark AS w (node, boot, lane, accounted, changed_at) VALUES (%s, %s, 'alarm', %s, %s)
    ON CONFLICT (node, boot, lane) DO UPDATE SET accounted = w.accounted + excluded.accounted
"""
"""How a member accounts that has not been renewed yet."""


async def test_a_database_is_migrated_while_events_are_stored(empty_database: str) -> None:
    """What is written goes on, and nothing of it fails."""
    migrated = asyncio.Event()

    async def write(dsn: str) -> int:
        seq = 0
        async with connected(dsn) as connection:
            while not migrated.is_set() or seq < 50:
                seq += 1
                async with connection.transaction():
                    assert await intake.insert_events(connection, "event", [row(seq)]) == {row(seq).id}
                    await connection.execute(_AS_BEFORE_0210, ["n1", BOOT, f"{{[0,{seq}]}}", NOW])
        return seq

    async with connected(empty_database) as connection:
        await migrate_as_then(connection, PLAIN[0])
        writer = asyncio.create_task(write(empty_database))
        assert await migrate(connection) == PLAIN[1:]
        migrated.set()
        written = await writer
        assert await all_of(connection, "SELECT count(*) FROM event") == [(written,)]


async def test_a_migration_that_does_not_get_its_locks_gives_way_and_tries_again(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stands in line behind it would wait for as long as whoever holds the lock."""
    monkeypatch.setattr(migrations, "_GIVE_WAY", "50ms")
    monkeypatch.setattr(migrations, "_PAUSE_S", 0.01)
    adding = migrations.Migration("9999_adding.sql", "ALTER TABLE event ADD COLUMN more text")
    async with connected(empty_database) as connection, connected(empty_database) as holder:
        await migrate(connection)
        known = [*shipped(), adding]
        monkeypatch.setattr(migrations, "shipped", lambda: known)
        async with holder.transaction():
            await holder.execute("SELECT FROM event")
            with capture_logs() as logs:
                migrating = asyncio.create_task(migrate(connection))
                while not logs:  # noqa: ASYNC110 - a log wakes nobody
                    await asyncio.sleep(0.01)
            async with connected(empty_database) as writer:
                await intake.insert_events(writer, "health", [row(1)])
        assert await migrating == ["9999_adding.sql"]


async def test_a_migration_that_never_gets_its_locks_says_who_is_to_blame(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_GIVE_WAY", "20ms")
    monkeypatch.setattr(migrations, "_PAUSE_S", 0)
    monkeypatch.setattr(migrations, "_TRIES", 2)
    adding = migrations.Migration("9999_adding.sql", "ALTER TABLE event ADD COLUMN more text")
    async with connected(empty_database) as connection, connected(empty_database) as holder:
        await migrate(connection)
        known = [*shipped(), adding]
        monkeypatch.setattr(migrations, "shipped", lambda: known)
        async with holder.transaction():
            await holder.execute("SELECT FROM event")
            with pytest.raises(Stop, match=r"9999_adding\.sql does not get its locks"):
                await migrate(connection)


TAKES_AWAY = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|VIEW|SCHEMA)|\bRENAME\b|\bSET\s+NOT\s+NULL|\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE",
    re.IGNORECASE,
)


@pytest.mark.parametrize("migration", shipped(), ids=lambda migration: migration.name)
async def test_a_migration_takes_nothing_away_that_the_version_before_uses(
    migration: migrations.Migration,
) -> None:
    assert migration.name.endswith("_contract.sql") or not TAKES_AWAY.search(migration.sql)


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
            came = await intake.account(connection, {("n1", BOOT, "alarm"): [(1, 2)]}, NOW)
        assert [mark.stored for mark in came.watermarks] == [2]


async def test_timescale_of_the_apache_licence_gets_hypertables_alone_and_is_trimmed_all_the_same(
    timescale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As several clouds have it; the same server afterwards under the other licence gets the rest."""

    async def yes(_connection: object) -> bool:
        return True

    async with connected(timescale) as connection:
        monkeypatch.setattr(migrations, "is_apache", yes)
        assert await migrate(connection) == [m.name for m in shipped() if not m.needs_community]
        await intake.insert_events(
            connection, "health", [row(1), replace(row(2), time=NOW - timedelta(days=40))]
        )
        pool: Any = Only(connection)
        assert await trim(pool, NOW) == {"health": 1}
        assert await all_of(connection, "SELECT reports FROM device_uptime_hourly") == [(1,)]
        monkeypatch.undo()
        assert await migrate(connection) == [m.name for m in shipped() if m.needs_community]
        assert await all_of(connection, "SELECT reports FROM device_uptime_hourly") == [(1,)]


async def test_timescale_that_comes_to_a_database_in_use_takes_its_rows_along(
    timescale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no(_connection: object) -> bool:
        return False

    async with connected(timescale) as connection:
        monkeypatch.setattr(migrations, "has_timescale", no)
        await migrate(connection)
        await intake.insert_events(connection, "event", [row(1), row(200_000)])
        seen = replace(row(3), type="vigil.event.sensor_changed.v1", data=b'{"sensor": "door"}')
        await intake.insert_events(connection, "event", [replace(seen, time=NOW - timedelta(days=50))])
        await connection.execute(
            "INSERT INTO alert_step VALUES (%s, gen_random_uuid(), 'acknowledged', 1, 42, 'e', 'critical', 'fall')",
            [NOW - timedelta(days=50)],
        )
        monkeypatch.undo()
        assert await migrate(connection) == [m.name for m in shipped() if m.needs_timescale]
        assert await intake.insert_events(connection, "event", [row(1), row(2)]) == {row(2).id}
        (count,) = await (await connection.execute("SELECT count(*) FROM event")).fetchone() or (None,)
        assert count == 4
        jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'"
        for (job,) in await all_of(connection, jobs):
            await connection.execute(f"CALL run_job({int(job)})".encode())
        assert await all_of(connection, "SELECT changes FROM device_activity_hourly") == [(1,)]
        counted = "SELECT what, alerts, within_60s, seconds_max FROM alert_steps_hourly"
        assert await all_of(connection, counted) == [("acknowledged", 1, 1, 42.0)]
