"""Broken glass, and cases about who looked, as rows; and what the rules of misuse are asked about.

Neighbours: `api.cases` opens and closes cases, `api.misuse` decides what becomes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Glass:
    """A look at somebody outside of one's estates.

    Attributes:
        name: Of who looked; None where the account is gone.
        outcome: Of its review; None while that is open.
    """

    id: UUID
    resident: str
    actor: str
    name: str | None
    reason: str
    at: datetime
    until: datetime
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Something to be looked into; `about` is the actor, `owner` an account."""

    id: UUID
    kind: str
    estate: str
    about: str
    resident: str | None
    facts: dict[str, Any]
    opened_at: datetime
    due_at: datetime
    owner: str | None
    outcome: str | None = None
    note: str = ""
    closed_by: str | None = None
    closed_at: datetime | None = None


_COLUMNS: Final = ", ".join(Case.__dataclass_fields__)
_IN_SCOPE: Final = "(%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))"


async def break_glass(connection: Connection, glass: Glass) -> None:
    """Write down that somebody breaks the glass."""
    await connection.execute(
        "INSERT INTO break_glass (id, resident, actor, reason, at, until) VALUES (%s, %s, %s, %s, %s, %s)",
        [glass.id, glass.resident, glass.actor, glass.reason, glass.at, glass.until],
    )


_GLASS: Final = """
    SELECT g.id, g.resident, g.actor, a.name, g.reason, g.at, g.until, c.outcome
    FROM break_glass g LEFT JOIN account a ON g.actor = 'person:' || a.id
    LEFT JOIN access_case c ON c.id = g.id
"""


async def glass(connection: Connection, id_: UUID) -> Glass | None:
    """Return one."""
    async with connection.cursor(row_factory=class_row(Glass)) as cursor:
        await cursor.execute(_GLASS + " WHERE g.id = %s", [id_])
        return await cursor.fetchone()


async def broken_for(connection: Connection, resident: str, limit: int) -> list[Glass]:
    """Return when the glass was broken for a resident, the latest first."""
    async with connection.cursor(row_factory=class_row(Glass)) as cursor:
        await cursor.execute(_GLASS + " WHERE g.resident = %s ORDER BY g.at DESC LIMIT %s", [resident, limit])
        return await cursor.fetchall()


async def owner_for(connection: Connection, estate: str, about: str) -> str | None:
    """Return who looks into it: a manager of the estate, else a supervisor; never the one it is about."""
    cursor = await connection.execute(
        """
        SELECT id FROM account
        WHERE role IN ('community_manager', 'supervisor') AND disabled_at IS NULL
          AND (%(estate)s = ANY (estates) OR '*' = ANY (estates)) AND 'person:' || id <> %(about)s
        ORDER BY role, (SELECT count(*) FROM access_case c WHERE c.owner = account.id AND c.closed_at IS NULL), id
        LIMIT 1
        """,
        {"estate": estate, "about": about},
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def open_case(connection: Connection, case: Case) -> bool:
    """Open a case; False where it is known."""
    cursor = await connection.execute(
        """
        INSERT INTO access_case (id, kind, estate, about, resident, facts, opened_at, due_at, owner)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
        """,
        [
            *(case.id, case.kind, case.estate, case.about, case.resident, Jsonb(case.facts)),
            *(case.opened_at, case.due_at, case.owner),
        ],
    )
    return cursor.rowcount == 1


async def cases(connection: Connection, scope: Scope, limit: int, *, everything: bool) -> list[Case]:
    """Return a scope's cases, open ones first, by when they are due."""
    query = f"""
        SELECT {_COLUMNS} FROM access_case WHERE {_IN_SCOPE} AND (%(everything)s OR closed_at IS NULL)
        ORDER BY closed_at IS NOT NULL, due_at, id LIMIT %(limit)s
    """  # noqa: S608 - constants
    return await _read(connection, query, scope, limit=limit, everything=everything)


async def case(connection: Connection, id_: UUID, scope: Scope) -> Case | None:
    """Return one, locked until the transaction ends; None where there is none in the scope."""
    query = f"SELECT {_COLUMNS} FROM access_case WHERE {_IN_SCOPE} AND id = %(id)s FOR UPDATE"  # noqa: S608 - constants
    found = await _read(connection, query, scope, id=id_)
    return found[0] if found else None


async def _read(connection: Connection, query: str, scope: Scope, **facts: object) -> list[Case]:
    estates = None if scope.estates is None else sorted(scope.estates)
    async with connection.cursor(row_factory=class_row(Case)) as cursor:
        await cursor.execute(query.encode(), {"estates": estates, **facts})
        return await cursor.fetchall()


async def close(
    connection: Connection, id_: UUID, outcome: str, note: str, actor: str, now: datetime
) -> None:
    """Write down how a case ended."""
    await connection.execute(
        "UPDATE access_case SET outcome = %s, note = %s, closed_by = %s, closed_at = %s WHERE id = %s",
        [outcome, note, actor, now, id_],
    )


async def overdue(connection: Connection, now: datetime) -> list[Case]:
    """Return open cases that are due, or that nobody owns, and of which nobody was told; they are marked so."""
    async with connection.cursor(row_factory=class_row(Case)) as cursor:
        await cursor.execute(
            f"""
            UPDATE access_case SET told_at = %(now)s
            WHERE closed_at IS NULL AND told_at IS NULL AND (due_at <= %(now)s OR owner IS NULL)
            RETURNING {_COLUMNS}
            """.encode(),  # noqa: S608 - constants
            {"now": now},
        )
        return await cursor.fetchall()


async def looks(
    connection: Connection, since: datetime
) -> list[tuple[int, datetime, str, str, str, str, str]]:
    """Return (id, at, actor, resident, estate, purpose, what) of what was looked at by choice since then."""
    cursor = await connection.execute(
        """
        SELECT l.id, l.at, l.actor, l.resident, r.estate, l.purpose, l.what
        FROM access_log l JOIN resident r ON r.id = l.resident
        WHERE l.at >= %s AND l.purpose = 'care' AND l.actor LIKE 'person:%%'
        """,
        [since],
    )
    return await cursor.fetchall()


async def phones(connection: Connection, actors: Sequence[str]) -> dict[str, str]:
    """Return the telephones of actors."""
    cursor = await connection.execute(
        "SELECT 'person:' || id, phone FROM account WHERE 'person:' || id = ANY (%s) AND phone <> ''",
        [list(actors)],
    )
    return dict(await cursor.fetchall())


async def numbers(connection: Connection, residents: Sequence[str]) -> dict[str, list[str]]:
    """Return the telephones of residents, of their families and key-holders."""
    cursor = await connection.execute(
        """
        SELECT r.id, personal(r.id, 'phone', k.wrapped, r.phone), personal(r.id, 'profile', k.wrapped, r.profile::text)
        FROM resident r LEFT JOIN resident_key k ON k.resident = r.id WHERE r.id = ANY (%s)
        """,
        [list(residents)],
    )
    found: dict[str, list[str]] = {}
    for id_, phone, profile in await cursor.fetchall():
        helpers = [*(profile.get("family") or ()), *(profile.get("key_holders") or ())]
        found[id_] = [phone or "", *(str(one.get("phone", "")) for one in helpers if isinstance(one, dict))]
    return found


async def duties(
    connection: Connection, since: datetime
) -> list[tuple[str, datetime | None, datetime | None]]:
    """Return (actor, start, end) of the duties since then of everybody who works by the rota.

    Who works so has had a shift within four weeks; a row without times says that, where there is none since.
    """
    cursor = await connection.execute(
        """
        SELECT 'person:' || account, starts_at, ends_at FROM shift WHERE ends_at >= %(since)s
        UNION ALL SELECT 'person:' || account, starts_at, ends_at FROM cover
                  WHERE state = 'accepted' AND ends_at >= %(since)s
        UNION ALL SELECT DISTINCT 'person:' || account, NULL::timestamptz, NULL::timestamptz FROM shift
                  WHERE ends_at >= %(since)s - interval '28 days'
        """,
        {"since": since},
    )
    return await cursor.fetchall()


async def called(connection: Connection, residents: Sequence[str]) -> dict[str, str]:
    """Return what residents are called; a look that has to be written down."""
    cursor = await connection.execute(
        """
        SELECT r.id, personal(r.id, 'name', k.wrapped, r.name)
        FROM resident r LEFT JOIN resident_key k ON k.resident = r.id WHERE r.id = ANY (%s)
        """,
        [list(residents)],
    )
    return dict(await cursor.fetchall())
