"""What surrounds an alert on its page: when its home was heard.

Neighbours: `api.console.alert` shows it; the database's `heard_in` looks at the scope first (0150).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg.errors import QueryCanceled
from psycopg.sql import SQL, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

MOST: Final = 3000
"""Of a day's events: more than a drawing of 800 points' width can tell apart."""
PATIENCE_MS: Final = 3000
"""Events have no index by device, which every alarm would pay for; whoever looks does without sooner."""


async def heard(
    connection: Connection, home: str, since: datetime, until: datetime
) -> list[tuple[datetime, str]] | None:
    """Return (time, kind of device) of what was heard in a home, the first one first.

    Returns:
        None where the database takes too long for a page.
    """
    try:
        async with connection.transaction():
            await connection.execute(SQL("SET LOCAL statement_timeout = {}").format(Literal(PATIENCE_MS)))
            cursor = await connection.execute(
                "SELECT * FROM heard_in(%s, %s, %s, %s)", [home, since, until, MOST]
            )
            return await cursor.fetchall()
    except QueryCanceled:
        return None
