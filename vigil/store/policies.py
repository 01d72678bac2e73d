"""Escalation policies in all their versions; a version is never changed, a new one follows it.

Neighbours: `api.policies` lets people write them; `vigil.store.escalation.policies` gives the
escalator those that apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy in one version; `retired` says that from this version on it no longer applies."""

    name: str
    version: int
    priority: str
    estate: str | None
    kind: str | None
    from_hour: int | None
    to_hour: int | None
    body: dict[str, Any]
    retired: bool
    made_by: str
    made_at: datetime


_COLUMNS: Final = SQL(", ").join(map(Identifier, PolicyRow.__dataclass_fields__))
_LOCK: Final = 0x504F4C49


async def newest(connection: Connection, limit: int, after: str = "") -> list[PolicyRow]:
    """Return each policy in its newest version, by name, the retired ones left out."""
    query = SQL("""
        SELECT {columns} FROM (SELECT DISTINCT ON (name) * FROM policy WHERE name > %s
                               ORDER BY name, version DESC) p
        WHERE NOT retired ORDER BY name LIMIT %s
    """).format(columns=_COLUMNS)
    async with connection.cursor(row_factory=class_row(PolicyRow)) as cursor:
        await cursor.execute(query, [after, limit])
        return await cursor.fetchall()


async def versions(connection: Connection, name: str, limit: int, before: int) -> list[PolicyRow]:
    """Return the versions of a policy below a number, the newest first."""
    query = SQL(
        "SELECT {} FROM policy WHERE name = %s AND version < %s ORDER BY version DESC LIMIT %s"
    ).format(_COLUMNS)
    async with connection.cursor(row_factory=class_row(PolicyRow)) as cursor:
        await cursor.execute(query, [name, before, limit])
        return await cursor.fetchall()


async def lock(connection: Connection) -> None:
    """Let nobody else write a policy until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


async def add_version(connection: Connection, new: PolicyRow) -> None:
    """Write a version; the lock is held."""
    names = tuple(PolicyRow.__dataclass_fields__)
    values = [getattr(new, name) for name in names]
    values[names.index("body")] = Jsonb(new.body)
    query = SQL("INSERT INTO policy ({}) VALUES ({})").format(
        _COLUMNS, SQL(", ").join([SQL("%s")] * len(names))
    )
    await connection.execute(query, values)
