"""Signs of life with progress, as rows: who is working, and since when not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life of a process."""

    process: str
    at: datetime
    progress: dict[str, Any]


async def beat(connection: Connection, process: str, now: datetime, progress: dict[str, Any]) -> None:
    """Note that a process lives, and how far it has come."""
    await connection.execute(
        """
        INSERT INTO heartbeat (process, at, progress) VALUES (%s, %s, %s)
        ON CONFLICT (process) DO UPDATE SET at = excluded.at, progress = excluded.progress
        """,
        [process, now, Jsonb(progress)],
    )


async def alive(connection: Connection, prefix: str, now: datetime, within: timedelta) -> bool:
    """Return whether any process whose name begins with `prefix` has lately given a sign of life."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM heartbeat WHERE starts_with(process, %s) AND at > %s)",
        [prefix, now - within],
    )
    ((found,),) = await cursor.fetchall()
    return bool(found)


async def latest(connection: Connection, since: datetime) -> list[Beat]:
    """Return the last sign of life of each process that has given one since a moment, by name."""
    cursor = await connection.execute(
        "SELECT process, at, progress FROM heartbeat WHERE at > %s ORDER BY process", [since]
    )
    return [Beat(*row) for row in await cursor.fetchall()]
