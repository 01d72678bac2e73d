"""The console's fallback sheet as rows: what was noted on it, and when somebody last took one along.

Neighbours: `api.console.sheet`; `vigil.store.snapshot` reads the roster that the sheet shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection

ONE_SHIFT: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Note:
    """What was noted while the platform was away; `name` is the resident's, `by` the writer's."""

    resident: str | None
    name: str | None
    what: str
    note: str
    by: str
    written_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Duty:
    """Somebody's duty, with the telephone they carry."""

    account: str
    name: str
    phone: str | None


async def add_note(
    connection: Connection,
    resident: str | None,
    what: str,
    note: str,
    actor: str,
    written_at: datetime,
    now: datetime,
) -> None:
    """Keep a note."""
    await connection.execute(
        """
        INSERT INTO sheet_note (resident, what, note, actor, written_at, received_at)
        VALUES (%s, %s, %s, %s, %s, %s)
        """,
        [resident, what, note, actor, written_at, now],
    )


async def notes(connection: Connection, scope: Scope, limit: int = 300) -> list[Note]:
    """Return the notes about residents of a scope and about nobody in particular, the latest first."""
    estates = None if scope.estates is None else sorted(scope.estates)
    async with connection.cursor(row_factory=class_row(Note)) as cursor:
        await cursor.execute(
            """
            SELECT n.resident, personal(r.id, 'name', k.wrapped, r.name) AS name, n.what, n.note, coalesce(a.name, n.actor) AS by,
                   n.written_at, n.received_at
            FROM sheet_note n
            LEFT JOIN resident r ON r.id = n.resident LEFT JOIN resident_key k ON k.resident = r.id
            LEFT JOIN account a ON n.actor = 'person:' || a.id
            WHERE n.resident IS NULL OR %(estates)s::text[] IS NULL OR r.estate = ANY (%(estates)s)
            ORDER BY n.written_at DESC, n.id DESC LIMIT %(limit)s
            """,
            {"estates": estates, "limit": limit},
        )
        return await cursor.fetchall()


async def taken_along(connection: Connection, residents: list[str], actor: str, now: datetime) -> None:
    """Write down, once a shift, that somebody's screen keeps these residents' lines."""
    await connection.execute(
        """
        INSERT INTO access_log (resident, actor, purpose, what, at)
        SELECT resident, %(actor)s, 'fallback', 'sheet', %(now)s FROM unnest(%(residents)s::text[]) AS t(resident)
        WHERE NOT EXISTS (SELECT FROM access_log l WHERE l.resident = t.resident AND l.actor = %(actor)s
                          AND l.what = 'sheet' AND l.at > %(since)s)
        """,
        {"actor": actor, "now": now, "residents": residents, "since": now - ONE_SHIFT},
    )


async def telephones(connection: Connection) -> dict[str, Duty]:
    """Return everybody's name and telephone, by account."""
    async with connection.cursor(row_factory=class_row(Duty)) as cursor:
        await cursor.execute("SELECT id AS account, name, phone FROM account")
        return {one.account: one for one in await cursor.fetchall()}
