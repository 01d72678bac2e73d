"""Tasks of grid workers and what is handed up, as rows.

Neighbours: `api.visits` decides, `api.tasks` and `api.hand_ups` let people act.  The notice
that asks somebody goes into the escalation's outbox in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from vigil.events import derived_id
from vigil.store.sealed import sealer_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as it stands."""

    id: UUID
    alert: UUID
    estate: str
    account: str
    state: str
    stage: str
    outcome: str | None
    note: str
    given_by: str
    given_at: datetime
    changed_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What was said of a task."""

    version: int
    what: str
    actor: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HandUpRow:
    """An alert at the street's centre, with what was known when it was handed up."""

    id: UUID
    alert: UUID
    estate: str
    reason: str
    document: dict[str, Any]
    made_by: str
    made_at: datetime
    taken_by: str | None
    taken_at: datetime | None


_TASK: Final = SQL(", ").join(map(Identifier, TaskRow.__dataclass_fields__))
_HAND_UP: Final = SQL(", ").join(map(Identifier, HandUpRow.__dataclass_fields__))
_DOCUMENT: Final = SQL("""
    personal(a.resident, 'hand_up', (SELECT k.wrapped FROM resident_key k WHERE k.resident = a.resident),
             h.document::text) AS document
""")
_OPENED: Final = SQL("(SELECT {} FROM hand_up h JOIN alert a ON a.id = h.alert) opened").format(
    SQL(", ").join(
        _DOCUMENT if name == "document" else Identifier("h", name) for name in HandUpRow.__dataclass_fields__
    )
)
"""What was handed up, with the document in clear: it holds what was known of a resident."""
_IN_SCOPE: Final = SQL("(%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))")


def _scope(scope: Scope) -> dict[str, object]:
    return {"estates": None if scope.estates is None else sorted(scope.estates)}


async def beats(connection: Connection, account: str | None = None) -> list[tuple[str, str, str]]:
    """Return (account, estate, building) of one person or of all."""
    cursor = await connection.execute(
        """
        SELECT account, estate, building FROM beat WHERE %(account)s::text IS NULL OR account = %(account)s
        ORDER BY account, estate, building
        """,
        {"account": account},
    )
    return await cursor.fetchall()


async def known_estates(connection: Connection, estates: list[str]) -> set[str]:
    """Return those of some estates that exist."""
    cursor = await connection.execute("SELECT id FROM estate WHERE id = ANY (%s)", [estates])
    return {row[0] for row in await cursor.fetchall()}


async def put_beats(connection: Connection, account: str, buildings: list[tuple[str, str]]) -> None:
    """Write whose buildings these are, in place of what was written before."""
    await connection.execute("DELETE FROM beat WHERE account = %s", [account])
    for estate, building in buildings:
        await connection.execute(
            "INSERT INTO beat (account, estate, building) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [account, estate, building],
        )


async def add_task(connection: Connection, new: TaskRow) -> bool:
    """Give a task, and ask its worker; False where somebody is on the way to this alert already."""
    query = SQL(
        "INSERT INTO task ({}) VALUES ({}) ON CONFLICT (alert) WHERE state IN ('given', 'accepted') DO NOTHING"
    )
    values = [getattr(new, name) for name in TaskRow.__dataclass_fields__]
    cursor = await connection.execute(query.format(_TASK, SQL(", ").join([SQL("%s")] * len(values))), values)
    if cursor.rowcount == 0:
        return False
    await _report(connection, new, "given", new.given_by, new.note)
    await connection.execute(
        """
        INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at, task)
        VALUES (%s, %s, 0, 0, %s, 'message', false, %s, %s, %s)
        """,
        [derived_id("task_notice", new.id), new.alert, new.account, new.given_at, new.given_at, new.id],
    )
    return True


async def task(connection: Connection, id_: UUID, scope: Scope) -> TaskRow | None:
    """Return a task of the scope, locked until the transaction ends; or None."""
    query = SQL("SELECT {} FROM task WHERE id = %(id)s AND {} FOR NO KEY UPDATE").format(_TASK, _IN_SCOPE)
    async with connection.cursor(row_factory=class_row(TaskRow)) as cursor:
        await cursor.execute(query, {"id": id_, **_scope(scope)})
        return await cursor.fetchone()


async def tasks(
    connection: Connection,
    scope: Scope,
    limit: int,
    before: tuple[datetime, UUID] | None,
    *,
    account: str | None = None,
    alert: UUID | None = None,
    only_open: bool = False,
) -> list[TaskRow]:
    """Return tasks of a scope, the latest first: somebody's, an alert's, those that are open."""
    query = SQL("""
        SELECT {} FROM task
        WHERE {} AND (%(account)s::text IS NULL OR account = %(account)s)
          AND (%(alert)s::uuid IS NULL OR alert = %(alert)s)
          AND (NOT %(only_open)s OR state IN ('given', 'accepted'))
          AND (%(at)s::timestamptz IS NULL OR (given_at, id) < (%(at)s, %(last)s))
        ORDER BY given_at DESC, id DESC LIMIT %(limit)s
    """).format(_TASK, _IN_SCOPE)
    at, last = before or (None, None)
    facts = {
        "account": account,
        "alert": alert,
        "only_open": only_open,
        "at": at,
        "last": last,
        "limit": limit,
    }
    async with connection.cursor(row_factory=class_row(TaskRow)) as cursor:
        await cursor.execute(query, facts | _scope(scope))
        return await cursor.fetchall()


async def change_task(connection: Connection, new: TaskRow, what: str, actor: str, note: str) -> None:
    """Write a task that is locked, and what was said."""
    await connection.execute(
        "UPDATE task SET state = %s, stage = %s, outcome = %s, changed_at = %s, version = %s WHERE id = %s",
        [new.state, new.stage, new.outcome, new.changed_at, new.version, new.id],
    )
    await _report(connection, new, what, actor, note)


async def _report(connection: Connection, new: TaskRow, what: str, actor: str, note: str) -> None:
    await connection.execute(
        "INSERT INTO task_report (task, version, what, actor, note, at) VALUES (%s, %s, %s, %s, %s, %s)",
        [new.id, new.version, what, actor, note, new.changed_at],
    )


async def reports(connection: Connection, id_: UUID) -> list[ReportRow]:
    """Return what was said of a task, the first word first."""
    async with connection.cursor(row_factory=class_row(ReportRow)) as cursor:
        await cursor.execute(
            "SELECT version, what, actor, note, at FROM task_report WHERE task = %s ORDER BY version", [id_]
        )
        return await cursor.fetchall()


async def add_hand_up(connection: Connection, new: HandUpRow, accounts: list[str]) -> bool:
    """Hand an alert up, and tell the centre; False where it is there already."""
    names = tuple(HandUpRow.__dataclass_fields__)
    document = Jsonb(await _sealed(connection, new))
    values = [document if name == "document" else getattr(new, name) for name in names]
    query = SQL("INSERT INTO hand_up ({}) VALUES ({}) ON CONFLICT (alert) WHERE taken_at IS NULL DO NOTHING")
    cursor = await connection.execute(
        query.format(_HAND_UP, SQL(", ").join([SQL("%s")] * len(values))), values
    )
    if cursor.rowcount == 0:
        return False
    for account in accounts:
        await connection.execute(
            """
            INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at, hand_up)
            VALUES (%s, %s, 0, 0, %s, 'voice', false, %s, %s, %s)
            """,
            [derived_id("hand_up", new.id, account), new.alert, account, new.made_at, new.made_at, new.id],
        )
    return True


async def _sealed(connection: Connection, new: HandUpRow) -> dict[str, Any]:
    """Seal a document with the key of the resident of its alert; there may be none."""
    cursor = await connection.execute("SELECT resident FROM alert WHERE id = %s", [new.alert])
    ((resident,),) = await cursor.fetchall()
    if resident is None:
        return new.document
    return (await sealer_of(connection, resident)).json("hand_up", new.document) or {}


async def hand_up(connection: Connection, id_: UUID, scope: Scope) -> HandUpRow | None:
    """Return what was handed up; None where there is none in the scope."""
    query = SQL("SELECT {} FROM {} WHERE id = %(id)s AND {}").format(_HAND_UP, _OPENED, _IN_SCOPE)
    async with connection.cursor(row_factory=class_row(HandUpRow)) as cursor:
        await cursor.execute(query, {"id": id_, **_scope(scope)})
        return await cursor.fetchone()


async def hand_ups(
    connection: Connection, scope: Scope, limit: int, before: tuple[datetime, UUID] | None
) -> list[HandUpRow]:
    """Return what was handed up, the latest first."""
    query = SQL("""
        SELECT {} FROM {}
        WHERE {} AND (%(at)s::timestamptz IS NULL OR (made_at, id) < (%(at)s, %(last)s))
        ORDER BY made_at DESC, id DESC LIMIT %(limit)s
    """).format(_HAND_UP, _OPENED, _IN_SCOPE)
    at, last = before or (None, None)
    async with connection.cursor(row_factory=class_row(HandUpRow)) as cursor:
        await cursor.execute(query, {"at": at, "last": last, "limit": limit, **_scope(scope)})
        return await cursor.fetchall()


async def take_hand_up(connection: Connection, id_: UUID, actor: str, now: datetime) -> bool:
    """Note that the centre has it; False where somebody there had it before."""
    cursor = await connection.execute(
        "UPDATE hand_up SET taken_by = %s, taken_at = %s WHERE id = %s AND taken_at IS NULL",
        [actor, now, id_],
    )
    return cursor.rowcount == 1


async def street_centre(connection: Connection, estate: str) -> list[str]:
    """Return the accounts of the street's centre that look after an estate."""
    cursor = await connection.execute(
        """
        SELECT id FROM account WHERE role = 'street_centre' AND disabled_at IS NULL
          AND (%s = ANY (estates) OR '*' = ANY (estates)) ORDER BY id
        """,
        [estate],
    )
    return [row[0] for row in await cursor.fetchall()]
