"""Who lives nearest to a place: for a fall in public of somebody whom nobody has recognised.

Neighbours: `api.nearest` shows them to who may see people; distances are of the plan of the estate
(`zone.x_m`, `zone.y_m`), as the crow flies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A flagged resident; `metres` is None where one of the two places is on no plan."""

    id: str
    name: str
    phone: str | None
    risk: int
    home: str | None
    building: str | None
    floor: int | None
    metres: float | None


async def nearest(connection: Connection, zone: str, limit: int = 10) -> list[Neighbour]:
    """Return the flagged residents of a place's estate who live nearest to it.

    Those whose homes are on no plan come last, by risk: nobody is left out for want of a number.
    """
    async with connection.cursor(row_factory=class_row(Neighbour)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, personal(r.id, 'name', k.wrapped, r.name) AS name,
                   personal(r.id, 'phone', k.wrapped, r.phone) AS phone, r.risk, h.name AS home, h.building, h.floor,
                   sqrt((h.x_m - p.x_m) ^ 2 + (h.y_m - p.y_m) ^ 2)::float8 AS metres
            FROM zone p JOIN resident r ON r.estate = p.estate AND r.flagged LEFT JOIN zone h ON h.id = r.home
            LEFT JOIN resident_key k ON k.resident = r.id
            WHERE p.id = %s ORDER BY metres NULLS LAST, r.risk DESC, r.id LIMIT %s
            """,
            [zone, limit],
        )
        return await cursor.fetchall()
