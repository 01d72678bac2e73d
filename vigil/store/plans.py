"""Plans of estates as they were uploaded, and where devices stand on them.

Neighbours: `api.plans` takes them in cleaned, `api.console.community` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan in one version; `svg` None: it was taken away."""

    estate: str
    version: int
    svg: str | None
    west_m: float
    south_m: float
    width_m: float
    high: float
    made_by: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Pin:
    """A device at its place, in metres of the estate."""

    estate: str
    device: str
    kind: str
    place: str
    online: bool | None
    x_m: float
    y_m: float


async def newest(connection: Connection, estate: str) -> PlanRow | None:
    """Return the newest version of an estate's plan that somebody may see, or None."""
    async with connection.cursor(row_factory=class_row(PlanRow)) as cursor:
        await cursor.execute(
            "SELECT * FROM estate_plan WHERE estate = %s ORDER BY version DESC LIMIT 1", [estate]
        )
        return await cursor.fetchone()


async def drawn_before(connection: Connection, estate: str, version: int) -> PlanRow | None:
    """Return the last version with a drawing before another, or None."""
    async with connection.cursor(row_factory=class_row(PlanRow)) as cursor:
        await cursor.execute(
            """
            SELECT * FROM estate_plan WHERE estate = %s AND version < %s AND svg IS NOT NULL
            ORDER BY version DESC LIMIT 1
            """,
            [estate, version],
        )
        return await cursor.fetchone()


async def add(connection: Connection, new: PlanRow) -> bool:
    """Write the next version; False where somebody has written it meanwhile."""
    cursor = await connection.execute(
        """
        INSERT INTO estate_plan (estate, version, svg, west_m, south_m, width_m, high, made_by, made_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        [getattr(new, name) for name in PlanRow.__dataclass_fields__],
    )
    return cursor.rowcount == 1


async def shown(connection: Connection, scope: Scope) -> list[PlanRow]:
    """Return the plans of a scope that have a drawing, without the drawing itself."""
    async with connection.cursor(row_factory=class_row(PlanRow)) as cursor:
        await cursor.execute(
            """
            SELECT estate, version, '' AS svg, west_m, south_m, width_m, high, made_by, made_at
            FROM (SELECT DISTINCT ON (estate) * FROM estate_plan ORDER BY estate, version DESC) p
            WHERE svg IS NOT NULL AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
            ORDER BY estate
            """,
            {"estates": None if scope.estates is None else sorted(scope.estates)},
        )
        return await cursor.fetchall()


async def pins(connection: Connection, estates: list[str]) -> list[Pin]:
    """Return the devices of some estates whose places have coordinates."""
    async with connection.cursor(row_factory=class_row(Pin)) as cursor:
        await cursor.execute(
            """
            SELECT z.estate, d.id AS device, d.kind, concat_ws(' · ', z.building, z.name) AS place, n.online,
                   z.x_m, z.y_m
            FROM device d JOIN node n ON n.id = d.node JOIN zone z ON z.id = d.zone
            WHERE z.estate = ANY (%s) AND z.x_m IS NOT NULL AND z.y_m IS NOT NULL
              AND d.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary'
            ORDER BY z.estate, n.online IS NOT FALSE, d.id LIMIT 5000
            """,
            [estates],
        )
        return await cursor.fetchall()
