"""Addresses of calendars as rows; their secrets reach this module as SHA-256 digests only.

Neighbour: `api.calendars`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Feed:
    """An address that is good; `whose` None is everybody of the owner's estates."""

    id: str
    owner: str
    whose: str | None
    made_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reader:
    """What an address shows: duty of one account, or of everybody of its owner's estates."""

    id: str
    estates: list[str]
    whose: str | None


async def add(connection: Connection, feed: Feed, digest: bytes) -> None:
    """Keep a new address."""
    await connection.execute(
        "INSERT INTO calendar_feed (id, hash, owner, whose, made_at) VALUES (%s, %s, %s, %s, %s)",
        [feed.id, digest, feed.owner, feed.whose, feed.made_at],
    )


async def feeds(connection: Connection, owner: str, limit: int, after: str) -> list[Feed]:
    """Return somebody's good addresses, by id."""
    async with connection.cursor(row_factory=class_row(Feed)) as cursor:
        await cursor.execute(
            """
            SELECT id, owner, whose, made_at, read_at FROM calendar_feed
            WHERE owner = %s AND revoked_at IS NULL AND id > %s ORDER BY id LIMIT %s
            """,
            [owner, after, limit],
        )
        return await cursor.fetchall()


async def revoke(connection: Connection, owner: str, id_: str, now: datetime) -> bool:
    """Make an address void; False where somebody has no good one of this id."""
    cursor = await connection.execute(
        "UPDATE calendar_feed SET revoked_at = %s WHERE owner = %s AND id = %s AND revoked_at IS NULL",
        [now, owner, id_],
    )
    return cursor.rowcount == 1


async def read(connection: Connection, digest: bytes, now: datetime) -> Reader | None:
    """Return what the address of a secret shows, and note the reading; None where it is not good."""
    async with connection.cursor(row_factory=class_row(Reader)) as cursor:
        await cursor.execute(
            """
            UPDATE calendar_feed f SET read_at = %s FROM account a
            WHERE f.hash = %s AND f.revoked_at IS NULL AND a.id = f.owner AND a.disabled_at IS NULL
            RETURNING f.id, a.estates, f.whose
            """,
            [now, digest],
        )
        return await cursor.fetchone()
