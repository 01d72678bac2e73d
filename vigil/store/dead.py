"""Read dead letters, for people and for `ingest.replay`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that has not been put back.

    Attributes:
        origin: MQTT topic it came by, or where else it was found.
        payload: The untouched bytes.
    """

    id: UUID
    reason: str
    origin: str
    payload: bytes
    at: datetime


async def letters(
    connection: Connection,
    since: datetime,
    reason: str | None,
    after: UUID | None = None,
    limit: int = 500,
) -> list[Letter]:
    """Return dead letters in the order of their ids, `limit` at a time.

    Args:
        connection: Any.
        since: Only what died at this time or later.
        reason: Only of this reason; None for all.
        after: The last id of the page before.
        limit: Most that are returned.
    """
    async with connection.cursor(row_factory=class_row(Letter)) as cursor:
        await cursor.execute(
            """
            SELECT id, reason, origin, payload, at FROM dead_letter
            WHERE at >= %(since)s AND replayed_at IS NULL AND payload <> ''
              AND (%(reason)s::text IS NULL OR reason = %(reason)s)
              AND (%(after)s::uuid IS NULL OR id > %(after)s)
            ORDER BY id LIMIT %(limit)s
            """,
            {"since": since, "reason": reason, "after": after, "limit": limit},
        )
        return await cursor.fetchall()
