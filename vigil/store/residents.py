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

from vigil.store import own
from vigil.store.sealed import OPERATIONAL, sealer_of

if TYPE_CHECKING:
    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class ResidentRow:
    """A resident with their home.

    Attributes:
        whole: The profile: who helps, and whatever else is known.
    """

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
    whole: dict[str, Any]
    version: int

    @property
    def helpers(self) -> dict[str, Any]:
        """Who helps, and what a helper at the door must know."""
        return {name: self.whole.get(name) for name in HELPERS}

    @property
    def profile(self) -> dict[str, Any]:
        """Whatever else is known."""
        return {name: value for name, value in self.whole.items() if name not in HELPERS}


HELPERS: Final = ("key_holders", "family", "note")
_SELECT: Final = SQL("""
    SELECT r.id, r.estate, personal(r.id, 'name', k.wrapped, r.name) AS name,
           personal(r.id, 'phone', k.wrapped, r.phone) AS phone, r.flagged, r.risk, r.lives_alone,
           z.name AS home, z.building, z.floor,
           personal(r.id, 'profile', k.wrapped, r.profile::text) AS whole, r.version
    FROM resident r LEFT JOIN zone z ON z.id = r.home LEFT JOIN resident_key k ON k.resident = r.id
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
    sealer = await sealer_of(connection, id_)
    whole = await own.profile(connection, id_) | values
    await connection.execute(
        "UPDATE resident SET profile = %s, version = version + 1 WHERE id = %s",
        [Jsonb(sealer.json("profile", whole, OPERATIONAL)), id_],
    )
