"""Residents as those who care for them see them: where they live, how urgent, who helps.

Neighbours: `api.residents`; `vigil.store.snapshot` reads the same helpers for the watchdog's
roster.  Helpers stand in the resident's profile (`key_holders`, `family`, `note`), beside what detectors
have to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class ResidentRow:
    """A resident with their home; helpers and the rest of the profile as they stand there."""

    id: str
    estate: str
    name: str
    phone: str | None
    flagged: bool
    risk: int
    lives_alone: bool
    home: str | None
    building: str | None
    floor: int | None
    helpers: dict[str, Any]
    profile: dict[str, Any]
    version: int


_SELECT: Final = SQL("""
    SELECT r.id, r.estate, r.name, r.phone, r.flagged, r.risk, r.lives_alone, z.name AS home, z.building, z.floor,
           jsonb_build_object('key_holders', r.profile->'key_holders', 'family', r.profile->'family',
                              'note', r.profile->'note') AS helpers,
           r.profile - ARRAY['key_holders', 'family', 'note'] AS profile, r.version
    FROM resident r LEFT JOIN zone z ON z.id = r.home
    WHERE (%(estates)s::text[] IS NULL OR r.estate = ANY (%(estates)s)) AND
""")


def _scope(scope: Scope) -> dict[str, object]:
    return {"estates": None if scope.estates is None else sorted(scope.estates)}


async def residents(
    connection: Connection,
    scope: Scope,
    limit: int,
    after: str = "",
    estate: str | None = None,
    *,
    everybody: bool = False,
) -> list[ResidentRow]:
    """Return flagged residents of a scope by id, or all of them."""
    query = _SELECT + SQL(
        " (r.flagged OR %(everybody)s) AND r.id > %(after)s AND (%(estate)s::text IS NULL OR r.estate = %(estate)s)"
        " ORDER BY r.id LIMIT %(limit)s"
    )
    async with connection.cursor(row_factory=class_row(ResidentRow)) as cursor:
        facts = {"after": after, "estate": estate, "limit": limit, "everybody": everybody}
        await cursor.execute(query, {**facts, **_scope(scope)})
        return await cursor.fetchall()


async def resident(
    connection: Connection, id_: str, scope: Scope, *, lock: bool = False
) -> ResidentRow | None:
    """Return a resident of the scope, locked until the transaction ends if asked; or None."""
    query = _SELECT + SQL(" r.id = %(id)s" + (" FOR NO KEY UPDATE OF r" if lock else ""))
    async with connection.cursor(row_factory=class_row(ResidentRow)) as cursor:
        await cursor.execute(query, {"id": id_, **_scope(scope)})
        return await cursor.fetchone()


async def keep(connection: Connection, id_: str, values: dict[str, Any]) -> None:
    """Write a part of the profile of a resident who is locked; the rest stays as it is."""
    await connection.execute(
        "UPDATE resident SET profile = profile || %s, version = version + 1 WHERE id = %s",
        [Jsonb(values), id_],
    )
