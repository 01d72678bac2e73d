"""Which critical alerts nobody answers: what the watchdog is told of people, beside the processes.

Used by `api.snapshot`; `vigil.store.heartbeats` says the same of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

_UNANSWERED = """
    SELECT estate, count(*), min(raised_at) FROM alert
    WHERE state IN ('raised', 'notifying', 'delivered', 'unanswered') AND priority = 'critical'
      AND raised_at < %(before)s AND (synthetic IS NULL OR synthetic = 'demo')
      AND (%(estates)s::text[] IS NULL OR estate = ANY(%(estates)s))
    GROUP BY estate ORDER BY estate
"""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Critical alerts of an estate that nobody has taken, and since when the oldest waits."""

    estate: str
    count: int
    since: datetime


async def unanswered(connection: Connection, estates: list[str] | None, before: datetime) -> list[Unanswered]:
    """Return the estates whose critical alerts wait since before a moment; canaries and drills do not count.

    Args:
        connection: To read with.
        estates: Of these estates; None for all.
        before: Younger alerts are still being told of.
    """
    cursor = await connection.execute(_UNANSWERED, {"estates": estates, "before": before})
    return [Unanswered(*row) for row in await cursor.fetchall()]
