"""Nodes that are gone, and the residents whom nothing watches over meanwhile.

Neighbours: `api.escalation.outages` raises one alert an estate, `api.outages` shows its residents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class GoneNode:
    """A node that says to be offline (or whose broker says so), since when."""

    node: str
    estate: str
    since: datetime
    synthetic: str | None


@dataclass(frozen=True, slots=True)
class Concerned:
    """A resident of an outage."""

    resident: str
    name: str
    phone: str | None
    risk: int
    building: str | None
    home: str | None
    since: datetime
    until: datetime | None


_WATCHED = """
    SELECT r.id AS resident, r.estate, bool_or(n.online IS NOT FALSE) AS protected, min(n.seen_at) AS since
    FROM resident r
    JOIN device d ON d.retired_at IS NULL AND (d.zone = r.home OR EXISTS (
        SELECT FROM assignment x
        WHERE x.device = d.id AND x.resident = r.id AND x.since <= %(now)s AND %(now)s < x.until))
    JOIN node n ON n.id = d.node AND n.retired_at IS NULL
    WHERE r.flagged AND r.estate = ANY (%(estates)s)
    GROUP BY r.id, r.estate
"""


async def gone_nodes(connection: Connection, before: datetime) -> list[GoneNode]:
    """Return the nodes that were offline before a time and still are; canaries' are the watchdog's care."""
    async with connection.cursor(row_factory=class_row(GoneNode)) as cursor:
        await cursor.execute(
            """
            SELECT id AS node, estate, seen_at AS since, synthetic FROM node
            WHERE online IS FALSE AND seen_at <= %s AND retired_at IS NULL
              AND synthetic IS DISTINCT FROM 'canary' ORDER BY estate, id
            """,
            [before],
        )
        return await cursor.fetchall()


async def open_outages(connection: Connection) -> list[tuple[UUID, str]]:
    """Return (alert, estate) of the outages that nobody has closed."""
    cursor = await connection.execute(
        "SELECT id, estate FROM alert WHERE kind = 'outage' AND state NOT IN ('resolved', 'reviewed') ORDER BY id"
    )
    return await cursor.fetchall()


async def note_residents(connection: Connection, alert: UUID, estate: str, now: datetime) -> int:
    """Bring an outage's list up to date; returns how many residents nothing watches over now."""
    facts = {"alert": alert, "estates": [estate], "now": now}
    await connection.execute(
        f"""
        INSERT INTO alert_resident (alert, resident, since)
        SELECT %(alert)s, resident, since FROM ({_WATCHED}) w WHERE NOT protected
        ON CONFLICT (alert, resident) DO UPDATE SET since = excluded.since, until = NULL
            WHERE alert_resident.until IS NOT NULL
        """,  # noqa: S608 - our own words alone
        facts,
    )
    await connection.execute(
        f"""
        UPDATE alert_resident SET until = %(now)s WHERE alert = %(alert)s AND until IS NULL
            AND resident IN (SELECT resident FROM ({_WATCHED}) w WHERE protected)
        """,  # noqa: S608 - our own words alone
        facts,
    )
    cursor = await connection.execute(
        "SELECT count(*) FROM alert_resident WHERE alert = %s AND until IS NULL", [alert]
    )
    ((count,),) = await cursor.fetchall()
    return int(count)


async def unwatched(connection: Connection, estate: str, now: datetime) -> int:
    """Return how many residents of an estate have devices, none of which can be heard."""
    cursor = await connection.execute(
        f"SELECT count(*) FROM ({_WATCHED}) w WHERE NOT protected",  # noqa: S608 - our own words alone
        {"estates": [estate], "now": now},
    )
    ((count,),) = await cursor.fetchall()
    return int(count)


async def concerned(connection: Connection, alert: UUID, limit: int, after: str) -> list[Concerned]:
    """Return the residents of an alert, by id."""
    async with connection.cursor(row_factory=class_row(Concerned)) as cursor:
        await cursor.execute(
            """
            SELECT c.resident, personal(r.id, 'name', k.wrapped, r.name) AS name,
                   personal(r.id, 'phone', k.wrapped, r.phone) AS phone, r.risk, z.building, z.name AS home, c.since, c.until
            FROM alert_resident c JOIN resident r ON r.id = c.resident LEFT JOIN zone z ON z.id = r.home
            LEFT JOIN resident_key k ON k.resident = r.id
            WHERE c.alert = %s AND c.resident > %s ORDER BY c.resident LIMIT %s
            """,
            [alert, after, limit],
        )
        return await cursor.fetchall()
