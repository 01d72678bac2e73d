"""Bring a database to the present schema: numbered SQL files, each once, in order.

`python -m vigil.store migrate` calls this before any process of a new version starts.

Rules
-----
1. Forward, and while the processes of the version before run: a file adds (expand).  What takes
   away (contract) ends with `_contract.sql`, and comes a version after the last that needed it.
2. A file that ends with `_timescale.sql` runs only where the extension can be had; where it
   cannot, it is left out, and runs at a later call when the extension has come.  One that ends
   with `_community_timescale.sql` needs more than the builds under the Apache licence have.
3. A migration waits briefly for its locks, and gives way again and again: whoever stands in line
   behind it for longer would be an alarm.
4. Rights and row-level security follow after the last file, every time (`vigil.store.rights`).
5. A database that a newer version has migrated is left alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

import psycopg
import structlog
from psycopg.sql import SQL

from vigil.errors import Stop, TooNew
from vigil.store import rights

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.store.pool import Connection

_LOCK: Final = 0x56494749
"""Two migrations at once would race; the advisory lock makes the second one wait."""
_GIVE_WAY: Final = "2s"
_TRIES: Final = 30
_PAUSE_S: Final = 1.0
_AGGREGATES: Final = "0006_aggregates_community_timescale.sql"
"""After it the continuous aggregates are filled, which no transaction can do."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered SQL file.

    Attributes:
        name: File name, which orders it.
        sql: Its statements.
    """

    name: str
    sql: str

    @property
    def needs_community(self) -> bool:
        """Whether it needs compression or continuous aggregates: TimescaleDB's community licence."""
        return self.name.endswith("_community_timescale.sql")

    @property
    def needs_timescale(self) -> bool:
        """Whether only TimescaleDB can run it."""
        return self.name.endswith("_timescale.sql")


def shipped() -> list[Migration]:
    """Return the migrations of this version, in order."""
    folder = resources.files("vigil") / "schema"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text(encoding="utf-8")) for f in files]


async def migrate(connection: Connection, tell: Callable[[str], object] = str) -> list[str]:
    """Apply what is missing.

    Args:
        connection: In autocommit; the role owns the schema.
        tell: Hears the name of each migration as soon as it is applied.

    Returns:
        Names of the migrations applied now.

    Raises:
        TooNew: A newer version has migrated this database.
        Stop: Somebody holds a lock that a migration needs, and does not let go.
    """
    await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        applied = []
        for migration in await missing(connection):
            if not (migration.needs_community and await is_apache(connection)):
                await _apply(connection, migration)
                applied.append(migration.name)
                tell(migration.name)
        if _AGGREGATES in applied:
            await _fill_aggregates(connection)
        await _put_rights(connection)
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return applied


async def missing(connection: Connection) -> list[Migration]:
    """Return what has not been applied and could be, as far as the server's extensions go.

    Raises:
        TooNew: A newer version has migrated this database.
    """
    cursor = await connection.execute("SELECT to_regclass('migration') IS NULL")
    new = await cursor.fetchone() == (True,)
    rows = [] if new else await (await connection.execute("SELECT name FROM migration")).fetchall()
    done = {name for (name,) in rows}
    known = shipped()
    if unknown := sorted(done - {migration.name for migration in known}):
        raise TooNew(unknown)
    timescale = await has_timescale(connection)
    return [m for m in known if m.name not in done and (timescale or not m.needs_timescale)]


async def _apply(connection: Connection, migration: Migration) -> None:
    for _ in range(_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_GIVE_WAY}'".encode())
                await connection.execute(migration.sql.encode())
                await connection.execute("INSERT INTO migration (name) VALUES (%s)", [migration.name])
        except psycopg.errors.LockNotAvailable:
            _log.warning("migration gives way", name=migration.name)
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise Stop(f"migration {migration.name} does not get its locks: end the transaction that holds them")


async def _put_rights(connection: Connection) -> None:
    """Give each process its rights on what is there now, and guard people's rows (`vigil.store.rights`)."""
    for _ in range(_TRIES):
        try:
            return await rights.put(connection)
        except psycopg.errors.LockNotAvailable:
            _log.warning("row-level security gives way")
            await asyncio.sleep(_PAUSE_S)
    raise Stop("row-level security does not get its locks: end the transaction that holds them")


async def _fill_aggregates(connection: Connection) -> None:
    """Take everything that is there into the aggregates; their policies look back two weeks only."""
    query = "SELECT view_name FROM timescaledb_information.continuous_aggregates"
    for (name,) in await (await connection.execute(query)).fetchall():
        await connection.execute(SQL("CALL refresh_continuous_aggregate({}, NULL, NULL)").format(name))


async def has_timescale(connection: Connection) -> bool:
    """Return whether TimescaleDB is or can be installed on this server."""
    cursor = await connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'")
    return await cursor.fetchone() is not None


async def is_apache(connection: Connection) -> bool:
    """Return whether TimescaleDB is here in a build that neither compresses nor aggregates."""
    cursor = await connection.execute("SELECT current_setting('timescaledb.license', true)")
    return await cursor.fetchone() == ("apache",)
