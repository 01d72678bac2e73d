"""Each process signs in at the database as itself, and can do its own work alone."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from vigil.errors import Stop
from vigil.store import logins
from vigil.store.pool import ProcessRole, open_pool
from vigil.store.retention import trim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.trust]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAY_BECOME = sorted((name, role) for name, roles in logins.LOGINS.items() for role in roles)
MAY_NOT_BECOME = sorted(
    (name, role) for name in logins.LOGINS for role in set(ProcessRole) - set(logins.LOGINS[name])
)


def put(dsn: str, folder: Path) -> dict[str, str]:
    async def with_owner() -> dict[str, Path]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as owner:
            return await logins.put(owner, folder, dsn)

    return {name: (at / logins.FILE).read_text() for name, at in asyncio.run(with_owner()).items()}


@pytest.fixture(scope="module")
def own(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Process -> its DSN, on a database that a process of each kind could work on."""
    yield put(shared_database, tmp_path_factory.mktemp("logins"))
    with contextlib.closing(psycopg.connect(shared_database, autocommit=True)) as owner:
        for name in logins.LOGINS:
            owner.execute(f"DROP ROLE {logins.PREFIX}{name}".encode())


def ask(dsn: str, statement: str, role: str | None = None) -> object:
    with psycopg.connect(dsn, options=f"-c role={role}" if role else "") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


@pytest.mark.parametrize(("process", "role"), MAY_BECOME)
def test_a_login_takes_on_the_roles_of_its_process(own: dict[str, str], process: str, role: str) -> None:
    assert ask(own[process], "SELECT session_user::text, current_user::text", role) == [
        (f"vigil_login_{process}", role)
    ]


@pytest.mark.parametrize(("process", "role"), [*MAY_NOT_BECOME, ("api", "vigil"), ("api", "postgres")])
def test_a_login_takes_on_nobody_elses(own: dict[str, str], process: str, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied to set role"):
        ask(own[process], "SELECT", role)


@pytest.mark.parametrize("process", logins.LOGINS)
@pytest.mark.parametrize("table", ["resident", "alert", "event", "account", "audit_log", "retention"])
def test_a_login_by_itself_sees_nothing(own: dict[str, str], process: str, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(own[process], f"TABLE {table}")


@pytest.mark.parametrize(
    ("process", "role", "statement"),
    [
        ("ingest", "vigil_ingest", "INSERT INTO alert (id) VALUES (gen_random_uuid())"),
        ("ingest", "vigil_ingest", "UPDATE resident SET flagged = false"),
        ("ingest", "vigil_ingest", "SELECT * FROM session"),
        ("processors", "vigil_processors", "SELECT * FROM api_token"),
        ("processors", "vigil_processors", "SELECT * FROM access_log"),
        ("processors", "vigil_processors", "SELECT url FROM contact"),
        ("api", "vigil_api", "DELETE FROM event"),
        ("api", "vigil_api", "DELETE FROM alert_transition"),
        ("api", "vigil_api", "UPDATE access_log SET actor = 'person:nobody'"),
        ("api", "vigil_people", "SELECT trim_events('event', now(), 1)"),
        *((name, roles[0], "CREATE TABLE mine (id int)") for name, roles in logins.LOGINS.items()),
        *((name, roles[0], "ALTER TABLE resident NO FORCE ROW LEVEL SECURITY") for name, roles in logins.LOGINS.items()),
        *((name, roles[-1], "DROP TABLE consent") for name, roles in logins.LOGINS.items()),
        *((name, roles[-1], "CREATE ROLE friend LOGIN") for name, roles in logins.LOGINS.items()),
        *((name, roles[-1], "SELECT rolpassword FROM pg_authid") for name, roles in logins.LOGINS.items()),
    ],
)  # fmt: skip
def test_no_process_can_do_what_is_not_its_work(
    own: dict[str, str], process: str, role: str, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(own[process], statement, role)


def test_trimming_is_asked_for_hypertables_alone(own: dict[str, str]) -> None:
    for function in ("trim_events", "trim_canary_events"):
        with pytest.raises(psycopg.errors.RaiseException, match="no hypertable"):
            ask(own["api"], f"SELECT {function}('audit_log', now(), 1)", "vigil_api")


@pytest.mark.asyncio
async def test_the_api_deletes_in_time_what_it_may_not_delete_otherwise(
    own: dict[str, str], shared_database: str
) -> None:
    old = """
        INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, synthetic, data)
        SELECT '2020-01-01Z', gen_random_uuid(), 'n', 'd', 'x', 'b', 'alarm', n, '2020-01-01Z', 'synced',
               CASE n WHEN 1 THEN 'canary' END, '{}' FROM generate_series(1, 3) n
    """
    await asyncio.to_thread(ask, shared_database, old)
    async with open_pool(SecretStr(own["api"]), "test", 1, role=ProcessRole.API) as pool:
        assert await trim(pool, NOW) == {"canary event": 1, "event": 2}


def test_a_password_is_for_its_process_alone_and_the_next_one_ends_it(
    shared_database: str, own: dict[str, str], tmp_path: Path
) -> None:
    new = put(shared_database, tmp_path / "logins")
    assert new["api"] != own["api"]
    assert stat.S_IMODE((tmp_path / "logins/api" / logins.FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "logins/api").stat().st_mode) == 0o700
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        ask(own["api"], "SELECT")
    own.update(new)
    assert ask(own["api"], "SELECT 1", "vigil_api") == [(1,)]


def test_what_a_login_was_given_beside_its_roles_is_taken_from_it(
    shared_database: str, own: dict[str, str], tmp_path: Path
) -> None:
    ask(shared_database, "GRANT vigil_processors TO vigil_login_ingest")
    own.update(put(shared_database, tmp_path))
    with pytest.raises(psycopg.OperationalError, match="permission denied to set role"):
        ask(own["ingest"], "SELECT", "vigil_processors")


def test_a_login_that_may_create_roles_is_refused(
    shared_database: str, own: dict[str, str], tmp_path: Path
) -> None:
    assert own
    ask(shared_database, "ALTER ROLE vigil_login_ingest CREATEROLE")
    try:
        with pytest.raises(Stop, match="may more than a process should"):
            put(shared_database, tmp_path)
    finally:
        ask(shared_database, "ALTER ROLE vigil_login_ingest NOCREATEROLE")
        own.update(put(shared_database, tmp_path))
