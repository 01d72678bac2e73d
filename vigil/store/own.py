"""What residents and their families may see of themselves, as rows.

Neighbours: `api.own` and `api.console.resident` show it.  A transaction is opened for an account by
`enter`, which asks the database whose account it is; from then on row-level security shows those
residents and nobody else (`OWN` in `vigil.store.rights`, 0191).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from vigil.store.pool import ProcessRole

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection

_ENTER: Final = """
    SELECT own, set_config('vigil.residents', own::text, true), set_config('vigil.actor', 'person:' || account, true)
    FROM (SELECT account, own_residents(account, at) AS own
          FROM (SELECT %s::text AS account, %s::timestamptz AS at) asked) x
"""


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody looked at what concerns a resident.

    Attributes:
        actor: `person:...` or `robot:...`.
        name: Of a person whom the platform knows.
        role: Of that person, now.
        purpose: Why, as it was written down: `care`, `alert`, `hand up`, `review`, `family`.
        what: What was looked at: `list`, `helpers`, `alert:...`, `frame:...`, ...
    """

    id: int
    at: datetime
    actor: str
    name: str | None
    role: str | None
    purpose: str
    what: str


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A device that is somebody's now."""

    id: str
    kind: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class OwnAlert:
    """An alert about a resident that is open."""

    id: UUID
    kind: str
    priority: str
    state: str
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """What a resident has reported of the neighbourhood.

    Attributes:
        kind: `lift`, `light`, `way`, `noise`, `rubbish` or `other`.
        alert: What stands on the duty officers' board.
        task: The grid worker's; None where the estate has none.
        state: Of the task; None where there is none.
        outcome: Of the task, when it is done.
    """

    id: UUID
    kind: str
    words: str
    made_at: datetime
    alert: UUID
    task: UUID | None
    state: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Tie:
    """An account that is somebody's: `self`, or of their `family`."""

    resident: str
    relation: str


async def enter(connection: Connection, account: str, now: datetime) -> list[str]:
    """Show a transaction the residents whose account it is, and nobody else.

    Args:
        connection: Inside a transaction of a scope without estates.
        account: Whose.
        now: When a resident's consent to their family has to be in force.

    Returns:
        Ids; empty where the account is nobody's.
    """
    cursor = await connection.execute(_ENTER, [account, now])
    row = await cursor.fetchone()
    return list(row[0]) if row else []


async def act_for_platform(connection: Connection) -> None:
    """Do the rest of a transaction in the API's own rights: raise an alert, give a task.

    Asked for after the resident was seen in the caller's rights; it ends with the transaction.
    """
    await connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(ProcessRole.API)))


async def looks(connection: Connection, resident: str, limit: int, before: int | None = None) -> list[Look]:
    """Return who looked at what of a resident, the latest first."""
    async with connection.cursor(row_factory=class_row(Look)) as cursor:
        await cursor.execute(
            """
            SELECT l.id, l.at, l.actor, a.name, a.role, l.purpose, l.what
            FROM access_log l LEFT JOIN account a ON 'person:' || a.id = l.actor
            WHERE l.resident = %(resident)s AND (%(before)s::bigint IS NULL OR l.id < %(before)s)
            ORDER BY l.id DESC LIMIT %(limit)s
            """,
            {"resident": resident, "before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def devices(connection: Connection, resident: str, now: datetime) -> list[OwnDevice]:
    """Return what is a resident's now."""
    async with connection.cursor(row_factory=class_row(OwnDevice)) as cursor:
        await cursor.execute(
            """
            SELECT d.id, d.kind, nullif(a.since, '-infinity') AS since
            FROM assignment a JOIN device d ON d.id = a.device
            WHERE a.resident = %(resident)s AND a.since <= %(now)s AND %(now)s < a.until
              AND d.retired_at IS NULL
            ORDER BY d.kind, d.id
            """,
            {"resident": resident, "now": now},
        )
        return await cursor.fetchall()


async def open_alerts(connection: Connection, resident: str) -> list[OwnAlert]:
    """Return what is open about a resident, the latest first."""
    async with connection.cursor(row_factory=class_row(OwnAlert)) as cursor:
        await cursor.execute(
            """
            SELECT id, kind, priority, state, raised_at FROM alert
            WHERE resident = %s AND state NOT IN ('resolved', 'reviewed') ORDER BY raised_at DESC LIMIT 20
            """,
            [resident],
        )
        return await cursor.fetchall()


async def add_report(connection: Connection, report: Report, resident: str, estate: str, actor: str) -> None:
    """Keep what somebody has reported; its alert and its task are there."""
    await connection.execute(
        """
        INSERT INTO neighbourhood_report (id, resident, estate, kind, words, made_by, made_at, alert, task)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            *(report.id, resident, estate, report.kind, report.words),
            *(actor, report.made_at, report.alert, report.task),
        ],
    )


async def reports(connection: Connection, resident: str, limit: int) -> list[Report]:
    """Return what a resident has reported and what became of it, the latest first."""
    async with connection.cursor(row_factory=class_row(Report)) as cursor:
        await cursor.execute(
            """
            SELECT n.id, n.kind, n.words, n.made_at, n.alert, n.task, t.state, t.outcome
            FROM neighbourhood_report n LEFT JOIN task t ON t.id = n.task
            WHERE n.resident = %s ORDER BY n.made_at DESC, n.id LIMIT %s
            """,
            [resident, limit],
        )
        return await cursor.fetchall()


async def ties(connection: Connection, account: str) -> list[Tie]:
    """Return whose account it is, of those residents whom the transaction sees."""
    async with connection.cursor(row_factory=class_row(Tie)) as cursor:
        await cursor.execute(
            "SELECT resident, relation FROM account_resident WHERE account = %s ORDER BY resident", [account]
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class TiedAccount:
    """An account that stands for a resident or for their family."""

    account: str
    name: str
    relation: str
    disabled: bool
    made_by: str
    made_at: datetime


async def accounts_of(connection: Connection, resident: str) -> list[TiedAccount]:
    """Return the accounts that are a resident's own, or of their family."""
    async with connection.cursor(row_factory=class_row(TiedAccount)) as cursor:
        await cursor.execute(
            """
            SELECT x.account, a.name, x.relation, a.disabled_at IS NOT NULL AS disabled, x.made_by, x.made_at
            FROM account_resident x JOIN account a ON a.id = x.account
            WHERE x.resident = %s ORDER BY x.relation DESC, x.account
            """,
            [resident],
        )
        return await cursor.fetchall()


async def put_ties(connection: Connection, account: str, asked: list[Tie], actor: str, now: datetime) -> None:
    """Write whose account it is, in place of what was written before; the same again is no change."""
    await connection.execute(
        "DELETE FROM account_resident WHERE account = %s AND resident <> ALL (%s)",
        [account, [tie.resident for tie in asked]],
    )
    for tie in asked:
        await connection.execute(
            """
            INSERT INTO account_resident (account, resident, relation, made_by, made_at)
            VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (account, resident) DO UPDATE SET relation = excluded.relation
            WHERE account_resident.relation <> excluded.relation
            """,
            [account, tie.resident, tie.relation, actor, now],
        )


async def profile(connection: Connection, resident: str) -> dict[str, Any]:
    """Return what is written down of a resident: who helps, and whatever else."""
    cursor = await connection.execute(
        """
        SELECT personal(r.id, 'profile', k.wrapped, r.profile::text)
        FROM resident r LEFT JOIN resident_key k ON k.resident = r.id WHERE r.id = %s
        """,
        [resident],
    )
    row = await cursor.fetchone()
    return dict(row[0]) if row else {}


async def home_of(connection: Connection, resident: str) -> str | None:
    """Return the zone that is a resident's home."""
    cursor = await connection.execute("SELECT home FROM resident WHERE id = %s", [resident])
    row = await cursor.fetchone()
    return str(row[0]) if row and row[0] is not None else None
