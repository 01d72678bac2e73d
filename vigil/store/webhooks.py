"""Webhooks as rows, each with how far it has come in the order of the changes.

Neighbours: `api.webhooks` lets people set them up, `api.delivery` sends.  A row is claimed by
moving its `due_at` ahead; what a dead worker had comes free when that is over, and is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook; `secret` signs what is sent."""

    id: str
    url: str
    secret: str
    estates: list[str]
    position: int
    failures: int
    error: str | None
    made_by: str
    made_at: datetime
    version: int


_COLUMNS: Final = SQL(", ").join(map(Identifier, Webhook.__dataclass_fields__))
_IN_SCOPE: Final = SQL("(%(estates)s::text[] IS NULL OR estates <@ %(estates)s)")


def _scope(scope: Scope) -> dict[str, object]:
    return {"estates": None if scope.estates is None else sorted(scope.estates)}


async def webhooks(connection: Connection, scope: Scope, limit: int, after: str) -> list[Webhook]:
    """Return the webhooks that reach no further than a scope, by id."""
    query = SQL("SELECT {} FROM webhook WHERE id > %(after)s AND {} ORDER BY id LIMIT %(limit)s")
    async with connection.cursor(row_factory=class_row(Webhook)) as cursor:
        await cursor.execute(
            query.format(_COLUMNS, _IN_SCOPE), {"after": after, "limit": limit, **_scope(scope)}
        )
        return await cursor.fetchall()


async def webhook(connection: Connection, id_: str, scope: Scope) -> Webhook | None:
    """Return a webhook of the scope, locked until the transaction ends; or None."""
    query = SQL("SELECT {} FROM webhook WHERE id = %(id)s AND {} FOR NO KEY UPDATE")
    async with connection.cursor(row_factory=class_row(Webhook)) as cursor:
        await cursor.execute(query.format(_COLUMNS, _IN_SCOPE), {"id": id_, **_scope(scope)})
        return await cursor.fetchone()


async def add(connection: Connection, new: Webhook, now: datetime) -> bool:
    """Add a webhook; False where the id is taken."""
    names = [*Webhook.__dataclass_fields__, "due_at"]
    query = SQL("INSERT INTO webhook ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        SQL(", ").join(map(Identifier, names)), SQL(", ").join([SQL("%s")] * len(names))
    )
    cursor = await connection.execute(query, [*(getattr(new, name) for name in names[:-1]), now])
    return cursor.rowcount == 1


async def change(connection: Connection, id_: str, url: str, estates: list[str], now: datetime) -> None:
    """Write a webhook that is locked; it is tried again at once."""
    await connection.execute(
        """
        UPDATE webhook SET url = %s, estates = %s, due_at = %s, failures = 0, error = NULL, version = version + 1
        WHERE id = %s
        """,
        [url, estates, now, id_],
    )


async def remove(connection: Connection, id_: str) -> None:
    """Remove a webhook."""
    await connection.execute("DELETE FROM webhook WHERE id = %s", [id_])


async def claim(connection: Connection, now: datetime, lease: timedelta) -> Webhook | None:
    """Take the webhook that is due for longest and has something to send; nobody else's until the lease ends."""
    query = SQL("""
        UPDATE webhook SET due_at = %s WHERE id = (
            SELECT id FROM webhook WHERE due_at <= %s
              AND position < (SELECT coalesce(max(change), 0) FROM alert_transition)
            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING {}
    """).format(_COLUMNS)
    async with connection.cursor(row_factory=class_row(Webhook)) as cursor:
        await cursor.execute(query, [now + lease, now])
        return await cursor.fetchone()


async def note_taken(connection: Connection, id_: str, position: int, due_at: datetime) -> None:
    """Record how far a webhook has come, and when it is next looked at."""
    await connection.execute(
        "UPDATE webhook SET position = greatest(position, %s), failures = 0, error = NULL, due_at = %s WHERE id = %s",
        [position, due_at, id_],
    )


async def note_failed(connection: Connection, id_: str, error: str, due_at: datetime) -> None:
    """Record that a webhook refused or was away, and when it is tried again."""
    await connection.execute(
        "UPDATE webhook SET failures = failures + 1, error = %s, due_at = %s WHERE id = %s",
        [error, due_at, id_],
    )
