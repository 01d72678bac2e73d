"""Sequence numbers that never came, for people and for `ingest.watch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from vigil.store.pool import Connection

MOST: Final = 1000
"""Gaps looked at together; a node that skips every second number must not take our memory."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers from `first` to `last`, of which nothing is known."""

    node: str
    boot: str
    lane: str
    first: int
    last: int


async def gaps(connection: Connection, limit: int = MOST) -> list[Gap]:
    """Return what is missing below a number that has arrived, or that a birth has named.

    What is on its way, or will be sent again in a moment, is among it.
    """
    async with connection.cursor(row_factory=class_row(Gap)) as cursor:
        await cursor.execute(
            "SELECT node, boot, lane, first, last FROM gap ORDER BY node, boot, lane, first LIMIT %s", [limit]
        )
        return await cursor.fetchall()
