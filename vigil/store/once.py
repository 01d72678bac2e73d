"""Answers to writes, kept in the write's own transaction, so that a repeat is answered and not done.

Neighbour: `api.once`.  Two repeats at once wait for each other on the primary key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from vigil.store.pool import Connection

KEPT: Final = timedelta(hours=24)
"""How long a repeat is recognised."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a write was answered with; `request` is the digest of what was asked."""

    request: bytes
    status: int
    headers: dict[str, str]
    body: str


async def claim(connection: Connection, actor: str, key: str, request: bytes, now: datetime) -> bool:
    """Take a key; False where it was taken before.  A claim under way elsewhere is waited for."""
    await connection.execute("DELETE FROM answered WHERE at < %s", [now - KEPT])
    cursor = await connection.execute(
        """
        INSERT INTO answered (actor, key, request, status, headers, body, at)
        VALUES (%s, %s, %s, 0, '{}', '', %s) ON CONFLICT DO NOTHING
        """,
        [actor, key, request, now],
    )
    return cursor.rowcount == 1


async def keep(connection: Connection, actor: str, key: str, done: Answered) -> None:
    """Keep the answer to a write whose key was claimed in this transaction."""
    await connection.execute(
        "UPDATE answered SET status = %s, headers = %s, body = %s WHERE actor = %s AND key = %s",
        [done.status, Jsonb(done.headers), done.body, actor, key],
    )


async def find(connection: Connection, actor: str, key: str) -> Answered | None:
    """Return what a key was answered with, or None."""
    async with connection.cursor(row_factory=class_row(Answered)) as cursor:
        await cursor.execute(
            "SELECT request, status, headers, body FROM answered WHERE actor = %s AND key = %s", [actor, key]
        )
        return await cursor.fetchone()
