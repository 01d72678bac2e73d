"""Bring a database to the present schema: numbered SQL files, each once, in order.

`python -m vigil.store migrate` calls this before any process starts.  A file whose name ends
with `_timescale.sql` runs only where the extension can be had; where it cannot, it is left
out, and runs at a later call when the extension has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vigil.store.pool import Connection

_LOCK: Final = 0x56494749
"""Two migrations at once would race; the advisory lock makes the second one wait."""


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
    def needs_timescale(self) -> bool:
        """Whether only TimescaleDB can run it."""
        return self.name.endswith("_timescale.sql")


def shipped() -> list[Migration]:
    """Return the migrations of this version, in order."""
    folder = resources.files("vigil") / "schema"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text(encoding="utf-8")) for f in files]


async def migrate(connection: Connection) -> list[str]:
    """Apply what is missing.

    Args:
        connection: In autocommit; the role owns the schema.

    Returns:
        Names of the migrations applied now.
    """
    await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        return [m.name for m in await _missing(connection) if await _apply(connection, m)]
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


async def _missing(connection: Connection) -> list[Migration]:
    done = {row[0] for row in await (await connection.execute("SELECT name FROM migration")).fetchall()}
    timescale = await has_timescale(connection)
    return [m for m in shipped() if m.name not in done and (timescale or not m.needs_timescale)]


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with connection.transaction():
        await connection.execute(migration.sql.encode())
        await connection.execute("INSERT INTO migration (name) VALUES (%s)", [migration.name])
    return True


async def has_timescale(connection: Connection) -> bool:
    """Return whether TimescaleDB is or can be installed on this server."""
    cursor = await connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'")
    return await cursor.fetchone() is not None
