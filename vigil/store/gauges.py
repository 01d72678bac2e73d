"""What Prometheus is told of the whole community, as one small look at the database.

Neighbours: `api.gauges` asks every quarter of a minute.  Canaries and drills are no alerts that wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection


HELD: Final = ["acknowledged", "attending", "fallback_owned"]
"""States in which somebody has an alert."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the community stands.

    Attributes:
        open_alerts: By priority: how many are open, and since when the oldest is.
        waiting: By priority: the same of those that nobody has acknowledged.
        nodes: By `online`, `offline` and `unknown` (never heard of).
    """

    open_alerts: dict[str, tuple[int, datetime]]
    waiting: dict[str, tuple[int, datetime]]
    nodes: dict[str, int]


async def standing(connection: Connection) -> Standing:
    """Look once."""
    return Standing(
        await _alerts(connection, []),
        await _alerts(connection, HELD),
        await _nodes(connection),
    )


async def _alerts(connection: Connection, but: list[str]) -> dict[str, tuple[int, datetime]]:
    """Count open alerts by priority, but for those in some states."""
    cursor = await connection.execute(
        """
        SELECT priority, count(*), min(raised_at) FROM alert
        WHERE state NOT IN ('resolved', 'reviewed') AND (synthetic IS NULL OR synthetic = 'demo')
          AND state <> ALL (%s::text[])
        GROUP BY priority
        """,
        [but],
    )
    return {str(priority): (int(count), since) for priority, count, since in await cursor.fetchall()}


async def _nodes(connection: Connection) -> dict[str, int]:
    cursor = await connection.execute(
        """
        SELECT CASE WHEN online THEN 'online' WHEN online IS NULL THEN 'unknown' ELSE 'offline' END, count(*)
        FROM node WHERE retired_at IS NULL AND synthetic IS DISTINCT FROM 'canary' GROUP BY 1
        """
    )
    return {str(state): int(count) for state, count in await cursor.fetchall()}
