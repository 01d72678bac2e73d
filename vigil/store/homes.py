"""What watching over routines needs to know of homes beside the registry: clocks and signs of life."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from vigil.store.pool import Connection


async def time_zones(connection: Connection) -> dict[str, str]:
    """Return the name of each community's time zone."""
    cursor = await connection.execute("SELECT id, time_zone FROM community")
    return dict(await cursor.fetchall())


async def last_heard(connection: Connection, nodes: Iterable[str]) -> dict[str, datetime]:
    """Return when the platform last took anything in from each node, on whichever lane."""
    cursor = await connection.execute(
        "SELECT node, max(changed_at) FROM watermark WHERE node = ANY(%s) GROUP BY node",
        [sorted(set(nodes))],
    )
    return dict(await cursor.fetchall())
