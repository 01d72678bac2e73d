"""What the street's centre asks of the register: estates with their communities, and how to reach people.

Neighbour: `api.console.street` shows it beside open alerts, what was handed up and who has duty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Estate:
    """An estate and the community it belongs to."""

    id: str
    name: str
    community: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of the staff; `phone` is empty where none is known."""

    id: str
    name: str
    phone: str


async def estates(connection: Connection, scope: Scope) -> list[Estate]:
    """Return the estates of a scope, by community and name."""
    async with connection.cursor(row_factory=class_row(Estate)) as cursor:
        await cursor.execute(
            """
            SELECT e.id, e.name, c.name AS community FROM estate e JOIN community c ON c.id = e.community
            WHERE %(estates)s::text[] IS NULL OR e.id = ANY (%(estates)s)
            ORDER BY c.name, c.id, e.name, e.id
            """,
            {"estates": None if scope.estates is None else sorted(scope.estates)},
        )
        return await cursor.fetchall()


async def members(connection: Connection, accounts: Iterable[str]) -> dict[str, Member]:
    """Return what accounts are called and how to ring them."""
    async with connection.cursor(row_factory=class_row(Member)) as cursor:
        await cursor.execute(
            "SELECT id, name, phone FROM account WHERE id = ANY (%s)", [sorted(set(accounts))]
        )
        return {one.id: one for one in await cursor.fetchall()}
