"""Drills: when they are on, so that what is marked as one pages nobody outside of it.

Neighbours: `api.drills` takes them from the watchdog and from people; `vigil.store.escalation`
asks the database's `drill_is_on` before anybody is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class DrillRow:
    """A drill.

    Attributes:
        kind: `tabletop`, `component`, `unannounced`, or `test` of the way to people.
        ends_at: It ends by itself then, at most 12 h after its start.
        ended_at: It was ended before.
    """

    id: str
    estate: str
    kind: str
    scenario: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    made_by: str
    made_at: datetime


_COLUMNS: Final = SQL(", ").join(map(Identifier, DrillRow.__dataclass_fields__))
_PUT: Final = SQL("""
    INSERT INTO drill ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE
    SET kind = excluded.kind, scenario = excluded.scenario, starts_at = excluded.starts_at,
        ends_at = excluded.ends_at, ended_at = excluded.ended_at
    WHERE drill.estate = excluded.estate RETURNING id
""").format(_COLUMNS, SQL(", ").join([SQL("%s")] * len(DrillRow.__dataclass_fields__)))
_LIST: Final = SQL("""
    SELECT {} FROM drill WHERE (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
      AND least(ends_at, ended_at) > %(since)s AND (%(surprises)s OR kind <> 'unannounced' OR starts_at <= %(now)s)
    ORDER BY starts_at, id LIMIT 500
""").format(_COLUMNS)


async def put(connection: Connection, drill: DrillRow) -> bool:
    """Write a drill, or write it anew; False where the id belongs to another estate's."""
    names = DrillRow.__dataclass_fields__
    cursor = await connection.execute(_PUT, [getattr(drill, name) for name in names])
    return cursor.rowcount == 1


async def find(connection: Connection, id_: str) -> DrillRow | None:
    """Return a drill, or None."""
    async with connection.cursor(row_factory=class_row(DrillRow)) as cursor:
        await cursor.execute(SQL("SELECT {} FROM drill WHERE id = %s").format(_COLUMNS), [id_])
        return await cursor.fetchone()


async def listed(
    connection: Connection, scope: Scope, since: datetime, now: datetime, *, surprises: bool
) -> list[DrillRow]:
    """Return the drills that were not over by a moment, in the order of their start; 500 at most.

    Args:
        connection: To read with.
        scope: Whose estates.
        since: That moment.
        now: Present time.
        surprises: Whether unannounced ones are shown before they begin.
    """
    estates = None if scope.estates is None else sorted(scope.estates)
    facts = {"estates": estates, "since": since, "now": now, "surprises": surprises}
    async with connection.cursor(row_factory=class_row(DrillRow)) as cursor:
        await cursor.execute(_LIST, facts)
        return await cursor.fetchall()


async def estate_exists(connection: Connection, estate: str) -> bool:
    """Whether there is such an estate."""
    cursor = await connection.execute("SELECT FROM estate WHERE id = %s", [estate])
    return await cursor.fetchone() is not None
