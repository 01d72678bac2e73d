"""The database itself holds to people's scopes: roles, grants and row-level security."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from vigil.store import rights
from vigil.store.board import EVERYWHERE, Scope
from vigil.store.pool import Pool, ProcessRole, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
ROWS = """
    INSERT INTO community (id, name) VALUES ('c', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c', 'E1'), ('e2', 'c', 'E2');
    INSERT INTO zone (id, estate, name) VALUES ('z1', 'e1', '401'), ('z2', 'e2', '402');
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e2');
    INSERT INTO device (id, node, zone, kind) VALUES ('d1', 'n1', 'z1', 'pendant'), ('d2', 'n2', 'z2', 'pendant');
    INSERT INTO resident (id, estate, home, name) VALUES ('r1', 'e1', 'z1', 'One'), ('r2', 'e2', 'z2', 'Two');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
        SELECT id, 'fall', true, '1', 'self' FROM resident;
    INSERT INTO assignment (device, resident) VALUES ('d1', 'r1'), ('d2', 'r2');
    INSERT INTO event SELECT '2026-03-01Z', ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'n' || n, 'd' || n,
        'vigil.alarm.fall_suspected.v1', 'b', 'alarm', n, '2026-03-01Z', 'synced', NULL, '{"peak_g": 3}'
        FROM generate_series(1, 2) n;
    INSERT INTO detection (id, event, time, kind, subject, resident, zone, estate, device, score, model,
                           model_version, explanation, made_at)
        SELECT id, id, time, 'fall', 'resident:r' || seq, 'r' || seq, 'z' || seq, 'e' || seq, device, 1, 'm', '1', '{}',
               time FROM event;
    INSERT INTO alert (id, subject, kind, priority, state, version, estate, resident, event_time, raised_at,
                       changed_at, summary)
        SELECT id, subject, kind, 'critical', 'raised', 1, estate, resident, time, time, time, '{}' FROM detection;
    INSERT INTO alert_transition (alert, version, change, to_state, action, actor, at)
        SELECT id, 1, nextval('alert_change'), 'raised', 'raise', 'system', raised_at FROM alert;
    INSERT INTO alert_evidence SELECT id, id FROM detection;
    INSERT INTO access_log (resident, actor, purpose, what, at)
        SELECT id, 'person:li', 'care', 'list', '2026-03-01Z' FROM resident;
"""
SEEN = ("resident", "zone", "alert", "detection", "alert_transition", "alert_evidence", "consent", "assignment",
        "access_log")  # fmt: skip


@pytest_asyncio.fixture
async def people(database: str) -> AsyncIterator[Pool]:
    """A pool as the API has for people, on a database with two estates that mirror each other."""
    dsn = SecretStr(database)
    with psycopg.connect(database) as owner:
        owner.execute(ROWS)
    async with open_pool(dsn, "test-people", 2, role=ProcessRole.PEOPLE) as pool:
        yield pool


async def counted(pool: Pool, scope: Scope) -> dict[str, int]:
    async with pool.scoped(scope) as connection:
        found = {}
        for table in SEEN:
            cursor = await connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table)))
            ((found[table],),) = await cursor.fetchall()
    return found


async def test_whoever_sets_no_scope_sees_nobody(people: Pool) -> None:
    async with people.connection() as connection:
        for table in SEEN:
            cursor = await connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table)))
            assert await cursor.fetchall() == [(0,)]


async def test_a_scope_shows_its_estates_and_ends_with_its_transaction(people: Pool) -> None:
    assert await counted(people, Scope(frozenset({"e1"}))) == dict.fromkeys(SEEN, 1)
    assert await counted(people, EVERYWHERE) == dict.fromkeys(SEEN, 2)
    assert await counted(people, Scope(frozenset())) == dict.fromkeys(SEEN, 0)
    async with people.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM resident")
        assert await cursor.fetchall() == [(0,)]


async def test_nothing_is_written_into_another_estate(people: Pool) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        async with people.scoped(Scope(frozenset({"e1"}))) as connection:
            await connection.execute("INSERT INTO resident (id, estate, name) VALUES ('r3', 'e2', 'Three')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        async with people.scoped(Scope(frozenset({"e1"}))) as connection:
            await connection.execute("UPDATE resident SET estate = 'e2'")
    async with people.scoped(Scope(frozenset({"e1"}))) as connection:
        changed = await connection.execute("UPDATE resident SET risk = 3 WHERE id = 'r2'")
        assert changed.rowcount == 0


@pytest.mark.parametrize("table", ["event", "telemetry", "health", "detector_state", "dead_letter"])
async def test_people_reach_no_hypertable_and_nothing_of_the_pipeline(people: Pool, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with people.scoped(EVERYWHERE) as connection:
            await connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table)))


async def test_the_checking_functions_look_at_the_scope_first(people: Pool) -> None:
    one, two = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2))
    async with people.scoped(Scope(frozenset({"e1"}))) as connection:
        for id_, home, node, seen in ((one, "z1", "n1", 1), (two, "z2", "n2", 0)):
            around = ["2026-02-28Z", "2026-03-02Z"]
            cursor = await connection.execute("SELECT count(*) FROM event_of(%s)", [id_])
            assert await cursor.fetchall() == [(seen,)]
            cursor = await connection.execute("SELECT count(*) FROM heard_in(%s, %s, %s, 9)", [home, *around])
            assert await cursor.fetchall() == [(seen,)]
            cursor = await connection.execute("SELECT heard_of(%s, %s, %s)", [node, *around])
            assert await cursor.fetchall() == [(bool(seen),)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM alert",
        "DELETE FROM alert_transition",
        "UPDATE alert_transition SET actor = 'person:nobody'",
        "UPDATE access_log SET actor = 'person:nobody'",
        "DELETE FROM access_log",
        "TRUNCATE resident CASCADE",
        "DROP TABLE consent",
        "ALTER TABLE resident DISABLE ROW LEVEL SECURITY",
        "UPDATE retention SET keep = '1 second'; DELETE FROM retention",
    ],
)
async def test_nobody_who_uses_the_api_rewrites_what_has_happened(people: Pool, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with people.scoped(EVERYWHERE) as connection:
            await connection.execute(statement.encode())


@pytest.mark.parametrize("role", sorted(set(ProcessRole) - {ProcessRole.PEOPLE}))
async def test_processes_without_a_user_see_all_by_a_policy_that_names_them(
    people: Pool, database: str, role: ProcessRole
) -> None:
    assert people
    async with open_pool(SecretStr(database), "test", 1, role=role) as pool, pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM resident")
        assert await cursor.fetchall() == [(2,)]
        cursor = await connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname = current_user"
        )
        assert await cursor.fetchall() == [(False,) * 4]


@pytest.mark.parametrize("role", [ProcessRole.PROCESSORS, ProcessRole.INGEST])
@pytest.mark.parametrize("table", ["session", "api_token", "contact", "webhook", "access_log"])
async def test_the_pipeline_reads_no_secrets(
    people: Pool, database: str, role: ProcessRole, table: str
) -> None:
    assert people
    async with open_pool(SecretStr(database), "test", 1, role=role) as pool:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with pool.connection() as connection:
                await connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table)))


async def test_every_table_that_names_somebody_or_their_place_is_guarded_or_argued_for(database: str) -> None:
    query = """
        SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
          AND a.attname IN ('resident', 'residents', 'estate', 'estates', 'alert', 'zone', 'account', 'phone')
          AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    """
    with psycopg.connect(database) as owner:
        bare = {name for (name,) in owner.execute(query).fetchall()}
        forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
        guarded = {name for (name,) in owner.execute(forced.encode()).fetchall()}
        tables = {name for (name,) in owner.execute("SELECT relname FROM pg_class").fetchall()}
    assert bare - set(rights.OPEN) == set()
    assert guarded == set(rights.GUARDED)
    assert set(rights.OPEN) <= tables
