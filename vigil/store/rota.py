"""Shifts, leave, overrides and handovers as rows.

Neighbours: `api.escalation.rota` says what follows from them, `api.rota` lets people change
them.  A person's account row is locked while their duty is changed, so that two changes at
once do not both pass the same check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """A shift as it was planned."""

    id: int
    account: str
    duty: str
    starts_at: datetime
    ends_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class LeaveRow:
    """When somebody is away."""

    id: int
    account: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    made_by: str
    made_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class CoverRow:
    """Somebody stands in for a part of a shift; `account` is who does, `holder` whose shift it was planned as."""

    id: int
    shift: int
    holder: str
    account: str
    starts_at: datetime
    ends_at: datetime
    kind: str
    state: str
    note: str
    made_by: str
    made_at: datetime
    answered_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a listing: what ends after `since`, begins before `until`, from an id on."""

    since: datetime
    until: datetime
    after: int
    limit: int
    account: str | None = None


_SHIFT: Final = SQL(", ").join(Identifier("s", name) for name in ShiftRow.__dataclass_fields__)
_LEAVE: Final = SQL(", ").join(Identifier("s", name) for name in LeaveRow.__dataclass_fields__)
_COVER: Final = SQL(", ").join(
    SQL("h.account AS holder") if name == "holder" else Identifier("s", name)
    for name in CoverRow.__dataclass_fields__
)
_WINDOW: Final = SQL("""
    s.ends_at > %(since)s AND s.starts_at < %(until)s AND s.id > %(after)s
    AND (%(account)s::text IS NULL OR s.account = %(account)s)
    AND EXISTS (SELECT FROM account a WHERE a.id = s.account
                AND (%(estates)s::text[] IS NULL OR a.estates && %(estates)s OR '*' = ANY (a.estates)))
    ORDER BY s.id LIMIT %(limit)s
""")


def _facts(window: Window, scope: Scope) -> dict[str, object]:
    facts = {name: getattr(window, name) for name in Window.__dataclass_fields__}
    return facts | {"estates": None if scope.estates is None else sorted(scope.estates)}


async def shifts(connection: Connection, window: Window, scope: Scope) -> list[ShiftRow]:
    """Return shifts, by id."""
    query = SQL("SELECT {} FROM shift s WHERE {}").format(_SHIFT, _WINDOW)
    async with connection.cursor(row_factory=class_row(ShiftRow)) as cursor:
        await cursor.execute(query, _facts(window, scope))
        return await cursor.fetchall()


async def leaves(connection: Connection, window: Window, scope: Scope) -> list[LeaveRow]:
    """Return leave, by id."""
    query = SQL("SELECT {} FROM leave s WHERE {}").format(_LEAVE, _WINDOW)
    async with connection.cursor(row_factory=class_row(LeaveRow)) as cursor:
        await cursor.execute(query, _facts(window, scope))
        return await cursor.fetchall()


async def covers(connection: Connection, window: Window, scope: Scope) -> list[CoverRow]:
    """Return overrides and handovers, by id."""
    query = SQL("SELECT {} FROM cover s JOIN shift h ON h.id = s.shift WHERE {}").format(_COVER, _WINDOW)
    async with connection.cursor(row_factory=class_row(CoverRow)) as cursor:
        await cursor.execute(query, _facts(window, scope))
        return await cursor.fetchall()


async def shift(connection: Connection, id_: int) -> ShiftRow | None:
    """Return a shift, locked until the transaction ends; or None."""
    query = SQL("SELECT {} FROM shift s WHERE id = %s FOR NO KEY UPDATE").format(_SHIFT)
    async with connection.cursor(row_factory=class_row(ShiftRow)) as cursor:
        await cursor.execute(query, [id_])
        return await cursor.fetchone()


async def leave(connection: Connection, id_: int) -> LeaveRow | None:
    """Return leave, locked until the transaction ends; or None."""
    query = SQL("SELECT {} FROM leave s WHERE id = %s FOR NO KEY UPDATE").format(_LEAVE)
    async with connection.cursor(row_factory=class_row(LeaveRow)) as cursor:
        await cursor.execute(query, [id_])
        return await cursor.fetchone()


async def cover(connection: Connection, id_: int) -> CoverRow | None:
    """Return an override or handover, locked until the transaction ends; or None."""
    query = SQL(
        "SELECT {} FROM cover s JOIN shift h ON h.id = s.shift WHERE s.id = %s FOR NO KEY UPDATE OF s"
    ).format(_COVER)
    async with connection.cursor(row_factory=class_row(CoverRow)) as cursor:
        await cursor.execute(query, [id_])
        return await cursor.fetchone()


async def all_shifts(connection: Connection, after: datetime) -> list[ShiftRow]:
    """Return every shift that ends after a time, in order of its beginning."""
    query = SQL("SELECT {} FROM shift s WHERE ends_at > %s ORDER BY starts_at, id").format(_SHIFT)
    async with connection.cursor(row_factory=class_row(ShiftRow)) as cursor:
        await cursor.execute(query, [after])
        return await cursor.fetchall()


async def agreed(connection: Connection, after: datetime) -> list[tuple[int, str, datetime, datetime]]:
    """Return (shift, account, starts_at, ends_at) of what was agreed and is not over, the earliest first."""
    cursor = await connection.execute(
        """
        SELECT shift, account, starts_at, ends_at FROM cover
        WHERE state = 'accepted' AND ends_at > %s ORDER BY answered_at, id
        """,
        [after],
    )
    return await cursor.fetchall()


async def all_leaves(connection: Connection, after: datetime) -> list[tuple[str, datetime, datetime]]:
    """Return (account, starts_at, ends_at) of the leave that is not over."""
    cursor = await connection.execute(
        "SELECT account, starts_at, ends_at FROM leave WHERE ends_at > %s", [after]
    )
    return await cursor.fetchall()


async def add_shift(
    connection: Connection, account: str, duty: str, starts_at: datetime, ends_at: datetime
) -> int:
    """Plan a shift; returns its id."""
    cursor = await connection.execute(
        "INSERT INTO shift (account, duty, starts_at, ends_at) VALUES (%s, %s, %s, %s) RETURNING id",
        [account, duty, starts_at, ends_at],
    )
    ((id_,),) = await cursor.fetchall()
    return int(id_)


async def change_shift(connection: Connection, new: ShiftRow) -> None:
    """Write a shift that is locked."""
    await connection.execute(
        """
        UPDATE shift SET account = %s, duty = %s, starts_at = %s, ends_at = %s, version = version + 1
        WHERE id = %s
        """,
        [new.account, new.duty, new.starts_at, new.ends_at, new.id],
    )


async def remove_shift(connection: Connection, id_: int) -> None:
    """Remove a shift, and what was agreed about it."""
    await connection.execute("DELETE FROM shift WHERE id = %s", [id_])


async def add_leave(
    connection: Connection,
    account: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    actor: str,
    now: datetime,
) -> int:
    """Note that somebody will be away; returns the id."""
    cursor = await connection.execute(
        """
        INSERT INTO leave (account, starts_at, ends_at, reason, made_by, made_at)
        VALUES (%s, %s, %s, %s, %s, %s) RETURNING id
        """,
        [account, starts_at, ends_at, reason, actor, now],
    )
    ((id_,),) = await cursor.fetchall()
    return int(id_)


async def remove_leave(connection: Connection, id_: int) -> None:
    """Take leave back."""
    await connection.execute("DELETE FROM leave WHERE id = %s", [id_])


@dataclass(frozen=True, slots=True)
class NewCover:
    """Somebody is to stand in: by order, which holds at once, or by an offer that waits for a yes."""

    shift: int
    account: str
    starts_at: datetime
    ends_at: datetime
    kind: str
    note: str
    made_by: str


async def add_cover(connection: Connection, new: NewCover, now: datetime) -> int:
    """Write an override (accepted) or a handover (offered); returns its id."""
    by_order = new.kind == "override"
    cursor = await connection.execute(
        """
        INSERT INTO cover (shift, account, starts_at, ends_at, kind, note, made_by, made_at, state, answered_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
        """,
        [
            *(getattr(new, name) for name in NewCover.__dataclass_fields__),
            now,
            "accepted" if by_order else "offered",
            now if by_order else None,
        ],
    )
    ((id_,),) = await cursor.fetchall()
    return int(id_)


async def answer_cover(connection: Connection, id_: int, state: str, now: datetime) -> bool:
    """Accept, decline or withdraw an offer; False where it is no longer one."""
    cursor = await connection.execute(
        """
        UPDATE cover SET state = %s, answered_at = %s, version = version + 1 WHERE id = %s AND state = 'offered'
        """,
        [state, now, id_],
    )
    return cursor.rowcount == 1


async def watched_estates(connection: Connection) -> list[str]:
    """Return the estates where flagged residents live: somebody has to be on duty for each."""
    cursor = await connection.execute("SELECT DISTINCT estate FROM resident WHERE flagged ORDER BY estate")
    return [row[0] for row in await cursor.fetchall()]


async def names(connection: Connection, accounts: Iterable[str]) -> dict[str, str]:
    """Return what accounts are called."""
    cursor = await connection.execute(
        "SELECT id, name FROM account WHERE id = ANY (%s)", [sorted(set(accounts))]
    )
    return dict(await cursor.fetchall())
