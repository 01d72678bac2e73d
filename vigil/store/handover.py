"""What was gone through when a shift was handed over, and what the next one must know, as rows.

Neighbours: `api.handover` writes and shows it.  Rows are added and never changed: the last word on a
point counts, and who said it first is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Check:
    """The last word on a point of the list; `name` is what the account is called, None where it is gone."""

    shift: int
    point: int
    done: bool
    by: str
    name: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """What the next one must know."""

    shift: int
    text: str
    by: str
    name: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """A shift that is handed over.

    Attributes:
        next: Who comes after: begins within `APART` of its end and shares an estate; may be nobody.
    """

    id: int
    account: str
    name: str
    duty: str
    starts_at: datetime
    ends_at: datetime
    next: list[str]
    next_names: list[str]


APART: Final = "interval '90 minutes'"
"""Shifts overlap for a handover, or begin a little late."""


async def endings(
    connection: Connection, scope: Scope, since: datetime, until: datetime, most: int
) -> list[Ending]:
    """Return officers' and supervisors' shifts that have begun before a time and end after another, the next to end first."""
    async with connection.cursor(row_factory=class_row(Ending)) as cursor:
        await cursor.execute(
            f"""
            SELECT s.id, s.account, a.name, s.duty, s.starts_at, s.ends_at,
                   coalesce(array_agg(n.account ORDER BY n.account) FILTER (WHERE n.account IS NOT NULL), '{{}}') AS next,
                   coalesce(array_agg(n.name ORDER BY n.account) FILTER (WHERE n.account IS NOT NULL), '{{}}') AS next_names
            FROM shift s JOIN account a ON a.id = s.account
            LEFT JOIN LATERAL (
                SELECT DISTINCT o.account, b.name FROM shift o JOIN account b ON b.id = o.account
                WHERE o.duty = s.duty AND o.id <> s.id AND o.account <> s.account
                  AND o.starts_at BETWEEN s.ends_at - {APART} AND s.ends_at + {APART}
                  AND (a.estates && b.estates OR '*' = ANY (a.estates) OR '*' = ANY (b.estates))
            ) n ON true
            WHERE s.duty IN ('officer', 'supervisor') AND s.ends_at > %(since)s AND s.starts_at <= %(until)s
              AND (%(estates)s::text[] IS NULL OR a.estates && %(estates)s OR '*' = ANY (a.estates))
            GROUP BY s.id, a.id ORDER BY s.ends_at, s.id LIMIT %(most)s
            """.encode(),  # noqa: S608 - constants
            {
                "since": since,
                "until": until,
                "most": most,
                "estates": None if scope.estates is None else sorted(scope.estates),
            },
        )
        return await cursor.fetchall()


async def checks(connection: Connection, shifts: Sequence[int]) -> list[Check]:
    """Return the last word on each point of shifts."""
    async with connection.cursor(row_factory=class_row(Check)) as cursor:
        await cursor.execute(
            """
            SELECT DISTINCT ON (c.shift, c.point) c.shift, c.point, c.done, c.by, a.name, c.at
            FROM handover_check c LEFT JOIN account a ON c.by = 'person:' || a.id
            WHERE c.shift = ANY (%s) ORDER BY c.shift, c.point, c.id DESC
            """,
            [list(shifts)],
        )
        return await cursor.fetchall()


async def notes(connection: Connection, shifts: Sequence[int]) -> list[Note]:
    """Return the notes of shifts, the earliest first."""
    async with connection.cursor(row_factory=class_row(Note)) as cursor:
        await cursor.execute(
            """
            SELECT n.shift, n.text, n.by, a.name, n.at
            FROM handover_note n LEFT JOIN account a ON n.by = 'person:' || a.id
            WHERE n.shift = ANY (%s) ORDER BY n.id
            """,
            [list(shifts)],
        )
        return await cursor.fetchall()


async def check(
    connection: Connection, shift: int, point: int, actor: str, now: datetime, *, done: bool
) -> None:
    """Add a word on a point."""
    await connection.execute(
        "INSERT INTO handover_check (shift, point, done, by, at) VALUES (%s, %s, %s, %s, %s)",
        [shift, point, done, actor, now],
    )


async def add_note(connection: Connection, shift: int, text: str, actor: str, now: datetime) -> None:
    """Add a note."""
    await connection.execute(
        "INSERT INTO handover_note (shift, text, by, at) VALUES (%s, %s, %s, %s)", [shift, text, actor, now]
    )
