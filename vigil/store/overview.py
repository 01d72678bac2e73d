"""A community as the console's pages show it: residents with what covers them, devices, places.

Neighbours: `api.console.community`, `api.console.round` and `api.console.resident` show this;
`vigil.store.outages` raises what is uncovered as an alert.  Reading alone: what is edited goes
through the API.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Covered:
    """A flagged resident, with what watches over them.

    Attributes:
        devices: How many are theirs.
        since: Unprotected since; None while a device of theirs is online, or where none is theirs.
    """

    id: str
    name: str
    estate: str
    estate_name: str
    building: str | None
    floor: int | None
    home: str | None
    phone: str | None
    risk: int
    lives_alone: bool
    devices: int
    protected: bool
    since: datetime | None
    x_m: float | None
    y_m: float | None


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """A device, what it reports through, and when it was last heard."""

    id: str
    kind: str
    node: str
    estate_name: str
    place: str | None
    online: bool | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Spot:
    """A place of an estate's plan, with its open alerts and its devices.

    Attributes:
        alert: The most urgent open alert there: its priority.
    """

    zone: str
    name: str
    building: str | None
    estate: str
    estate_name: str
    public: bool
    x_m: float | None
    y_m: float | None
    devices: int
    offline: int
    alert: str | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier alert of a resident."""

    id: UUID
    kind: str
    priority: str
    outcome: str | None
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill, and after how many seconds somebody took it; None: nobody has."""

    id: UUID
    kind: str
    raised_at: datetime
    estate: str
    answered_s: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search has found; `what` is resident, device or zone."""

    what: str
    id: str
    name: str
    place: str | None


_DEVICES_OF: Final = """
    SELECT count(*) AS devices, bool_or(n.online IS NOT FALSE) AS online, max(n.seen_at) AS seen_at
    FROM device d JOIN node n ON n.id = d.node AND n.retired_at IS NULL
    WHERE d.retired_at IS NULL AND d.id IN (
        SELECT h.id FROM device h WHERE h.zone = r.home
        UNION ALL
        SELECT x.device FROM assignment x WHERE x.resident = r.id AND x.since <= %(now)s AND %(now)s < x.until)
"""
_COVERED: Final = f"""
    SELECT r.id, personal(r.id, 'name', k.wrapped, r.name) AS name, r.estate, e.name AS estate_name, z.building, z.floor,
           z.name AS home, personal(r.id, 'phone', k.wrapped, r.phone) AS phone, r.risk,
           r.lives_alone, o.devices, coalesce(o.online, false) AS protected,
           CASE WHEN o.online THEN NULL ELSE o.seen_at END AS since, z.x_m, z.y_m
    FROM resident r
    LEFT JOIN resident_key k ON k.resident = r.id
    JOIN estate e ON e.id = r.estate
    LEFT JOIN zone z ON z.id = r.home
    CROSS JOIN LATERAL ({_DEVICES_OF}) o
    WHERE r.flagged AND (%(estates)s::text[] IS NULL OR r.estate = ANY (%(estates)s))
"""  # noqa: S608 - put together of constants


_PEOPLE: Final = """
    SELECT r.id, personal(r.id, 'name', k.wrapped, r.name), personal(r.id, 'phone', k.wrapped, r.phone), r.flagged,
           concat_ws(' · ', e.name, z.building, z.name)
    FROM resident r JOIN estate e ON e.id = r.estate LEFT JOIN zone z ON z.id = r.home
    LEFT JOIN resident_key k ON k.resident = r.id
    WHERE %(estates)s::text[] IS NULL OR r.estate = ANY (%(estates)s)
"""
_OPENED_AT_ONCE: Final = 200


def _facts(scope: Scope, now: datetime, **more: object) -> dict[str, object]:
    return {"estates": None if scope.estates is None else sorted(scope.estates), "now": now, **more}


async def covered(
    connection: Connection, scope: Scope, now: datetime, *, page: int = 0, size: int = 100, gaps: bool = False
) -> list[Covered]:
    """Return flagged residents with their coverage, the uncovered ones of highest risk first.

    Args:
        connection: To read with.
        scope: Whose estates.
        now: Present time.
        page: Which page of `size` residents.
        size: Residents a page.
        gaps: Only who is not protected.
    """
    async with connection.cursor(row_factory=class_row(Covered)) as cursor:
        await cursor.execute(
            _COVERED
            + """ AND (NOT %(gaps)s OR o.online IS NOT TRUE)
            ORDER BY coalesce(o.online, false), r.risk DESC, r.estate, z.building, z.floor, r.id
            LIMIT %(size)s OFFSET %(skip)s""",
            _facts(scope, now, gaps=gaps, size=size, skip=page * size),
        )
        return await cursor.fetchall()


async def of_buildings(connection: Connection, scope: Scope, now: datetime, account: str) -> list[Covered]:
    """Return the flagged residents of a grid worker's buildings, door by door."""
    async with connection.cursor(row_factory=class_row(Covered)) as cursor:
        await cursor.execute(
            _COVERED
            + """ AND EXISTS (SELECT FROM beat b WHERE b.account = %(account)s AND b.estate = r.estate
                              AND b.building IN ('', z.building))
            ORDER BY r.estate, z.building, z.floor, z.name, r.id LIMIT 500""",
            _facts(scope, now, account=account),
        )
        return await cursor.fetchall()


async def lives(
    connection: Connection, scope: Scope, now: datetime
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many flagged residents live in each place, and how many of them are not protected.

    Returns:
        By estate and building; by the home's id where it is in no building, and by nothing where a
        resident has none.
    """
    cursor = await connection.execute(
        f"""
        SELECT r.estate, coalesce(z.building, z.id, ''), count(*),
               count(*) FILTER (WHERE o.online IS NOT TRUE)
        FROM resident r LEFT JOIN zone z ON z.id = r.home CROSS JOIN LATERAL ({_DEVICES_OF}) o
        WHERE r.flagged AND (%(estates)s::text[] IS NULL OR r.estate = ANY (%(estates)s)) GROUP BY 1, 2
        """,  # noqa: S608 - put together of constants
        _facts(scope, now),
    )
    return {(estate, place): (all_, bare) for estate, place, all_, bare in await cursor.fetchall()}


async def device_health(
    connection: Connection, scope: Scope, now: datetime, *, page: int = 0, size: int = 100
) -> list[DeviceHealth]:
    """Return devices with their health, those that are away first."""
    async with connection.cursor(row_factory=class_row(DeviceHealth)) as cursor:
        await cursor.execute(
            """
            SELECT d.id, d.kind, d.node, e.name AS estate_name,
                   nullif(concat_ws(' · ', z.building, z.name), '') AS place,
                   n.online, greatest(d.seen_at, n.seen_at) AS seen_at
            FROM device d JOIN node n ON n.id = d.node JOIN estate e ON e.id = n.estate
            LEFT JOIN zone z ON z.id = d.zone
            WHERE d.retired_at IS NULL AND n.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary'
              AND (%(estates)s::text[] IS NULL OR n.estate = ANY (%(estates)s))
            ORDER BY n.online IS NOT FALSE, e.id, d.id LIMIT %(size)s OFFSET %(skip)s
            """,
            _facts(scope, now, size=size, skip=page * size),
        )
        return await cursor.fetchall()


async def plan(connection: Connection, scope: Scope, estate: str | None = None) -> list[Spot]:
    """Return the places of the plan, one a building (or public place), with alerts and devices."""
    async with connection.cursor(row_factory=class_row(Spot)) as cursor:
        await cursor.execute(
            """
            SELECT min(z.id) AS zone, min(z.name) AS name, z.building, z.estate, e.name AS estate_name,
                   bool_and(z.public) AS public, avg(z.x_m)::float AS x_m, avg(z.y_m)::float AS y_m,
                   coalesce(sum(d.devices), 0)::int AS devices, coalesce(sum(d.offline), 0)::int AS offline,
                   (array_agg(a.priority ORDER BY array_position(
                       ARRAY['critical', 'high', 'medium', 'trouble'], a.priority))
                    FILTER (WHERE a.priority IS NOT NULL))[1] AS alert
            FROM zone z JOIN estate e ON e.id = z.estate
            LEFT JOIN (
                SELECT d.zone, count(*) AS devices, count(*) FILTER (WHERE n.online IS FALSE) AS offline
                FROM device d JOIN node n ON n.id = d.node
                WHERE d.retired_at IS NULL GROUP BY d.zone) d ON d.zone = z.id
            LEFT JOIN (
                SELECT zone, (array_agg(priority ORDER BY array_position(
                    ARRAY['critical', 'high', 'medium', 'trouble'], priority)))[1] AS priority
                FROM alert
                WHERE state NOT IN ('resolved', 'reviewed') AND synthetic IS DISTINCT FROM 'canary'
                GROUP BY zone
            ) a ON a.zone = z.id
            WHERE (%(estates)s::text[] IS NULL OR z.estate = ANY (%(estates)s))
              AND (%(estate)s::text IS NULL OR z.estate = %(estate)s)
            GROUP BY z.estate, e.name, z.building, CASE WHEN z.building IS NULL THEN z.id END
            ORDER BY z.estate, z.building NULLS LAST, min(z.id) LIMIT 400
            """,
            {"estates": None if scope.estates is None else sorted(scope.estates), "estate": estate},
        )
        return await cursor.fetchall()


async def earlier(connection: Connection, resident: str, but: UUID | None, limit: int = 8) -> list[Earlier]:
    """Return a resident's earlier alerts, the latest first."""
    async with connection.cursor(row_factory=class_row(Earlier)) as cursor:
        await cursor.execute(
            """
            SELECT id, kind, priority, outcome, raised_at FROM alert
            WHERE resident = %s AND id IS DISTINCT FROM %s AND synthetic IS DISTINCT FROM 'canary'
            ORDER BY raised_at DESC LIMIT %s
            """,
            [resident, but, limit],
        )
        return await cursor.fetchall()


async def search(connection: Connection, scope: Scope, words: str, limit: int = 30) -> list[Hit]:
    """Find residents (name, telephone, id), devices and places by a part of what they are called."""
    like = f"%{words.replace('%', '').replace('_', '')}%"
    people = await _people(connection, scope, words.replace("%", "").replace("_", "").casefold(), limit)
    async with connection.cursor(row_factory=class_row(Hit)) as cursor:
        await cursor.execute(
            """
            (SELECT 'zone' AS what, z.id, z.name, concat_ws(' · ', e.name, z.building) AS place
             FROM zone z JOIN estate e ON e.id = z.estate
             WHERE (z.name ILIKE %(like)s OR z.building ILIKE %(like)s)
               AND (%(estates)s::text[] IS NULL OR z.estate = ANY (%(estates)s))
             ORDER BY z.name LIMIT %(limit)s)
            UNION ALL
            (SELECT 'device', d.id, d.kind, concat_ws(' · ', e.name, z.building, z.name)
             FROM device d JOIN node n ON n.id = d.node JOIN estate e ON e.id = n.estate
             LEFT JOIN zone z ON z.id = d.zone
             WHERE (d.id ILIKE %(like)s OR d.node ILIKE %(like)s)
               AND (%(estates)s::text[] IS NULL OR n.estate = ANY (%(estates)s))
             ORDER BY d.id LIMIT %(limit)s)
            """,
            {
                "like": like,
                "limit": limit,
                "estates": None if scope.estates is None else sorted(scope.estates),
            },
        )
        return people + await cursor.fetchall()


async def _people(connection: Connection, scope: Scope, words: str, limit: int) -> list[Hit]:
    """Find residents: names are sealed, so each is opened and looked at here, some at a time.

    Each batch takes a few milliseconds, and whoever else waits for this process has a turn after it.
    """
    found: list[tuple[bool, str, Hit]] = []
    async with connection.cursor() as cursor:
        await cursor.execute(_PEOPLE, {"estates": None if scope.estates is None else sorted(scope.estates)})
        while rows := await cursor.fetchmany(_OPENED_AT_ONCE):
            for id_, name, phone, flagged, place in rows:
                if any(words in one.casefold() for one in (name, phone or "", id_)):
                    found.append((not flagged, name, Hit("resident", id_, name, place)))
            await asyncio.sleep(0)
    return [hit for *_, hit in sorted(found, key=lambda one: one[:2])[:limit]]


async def consents(connection: Connection) -> list[tuple[str, int, int]]:
    """Return (purpose, granted, refused) of what holds now, over the residents one may see."""
    cursor = await connection.execute(
        """
        SELECT purpose, count(*) FILTER (WHERE granted), count(*) FILTER (WHERE NOT granted)
        FROM consent WHERE until = 'infinity' GROUP BY purpose ORDER BY purpose
        """
    )
    return await cursor.fetchall()


async def drills(connection: Connection, scope: Scope, since: datetime) -> list[Drill]:
    """Return drills as they were answered, the latest first."""
    async with connection.cursor(row_factory=class_row(Drill)) as cursor:
        await cursor.execute(
            """
            SELECT a.id, a.kind, a.raised_at, e.name AS estate,
                   (SELECT extract(epoch FROM min(t.at) - a.raised_at)::float FROM alert_transition t
                    WHERE t.alert = a.id AND t.action = 'acknowledge') AS answered_s
            FROM alert a JOIN estate e ON e.id = a.estate
            WHERE a.synthetic = 'drill' AND a.raised_at >= %(since)s
              AND (%(estates)s::text[] IS NULL OR a.estate = ANY (%(estates)s))
            ORDER BY a.raised_at DESC LIMIT 50
            """,
            {"since": since, "estates": None if scope.estates is None else sorted(scope.estates)},
        )
        return await cursor.fetchall()
